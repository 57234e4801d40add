package glue

import (
	"context"
	"fmt"
	"io"
	"path"
	"sort"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// TraceOptions have every call and every frame told to tell, as a line a person
// reads. No line holds a sample, a secret or its length; other bytes are told
// by their number only.
func TraceOptions(tell func(line string)) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, in, out any, c *grpc.ClientConn, next grpc.UnaryInvoker, o ...grpc.CallOption) error {
			name := short(method)
			tell("→ " + name + " " + told(in))
			start := time.Now()
			err := next(ctx, method, in, out, c, o...)
			took := fmt.Sprintf("%.1f ms", float64(time.Since(start).Microseconds())/1000)
			if err != nil {
				tell("← " + name + " " + failure(err) + "  " + took)
				return err
			}
			tell("← " + name + " " + told(out) + "  " + took)
			return nil
		}),
		grpc.WithChainStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc, c *grpc.ClientConn, method string, next grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
			s, err := next(ctx, d, c, method, o...)
			name := short(method)
			if err != nil {
				tell("← " + name + " " + failure(err))
				return nil, err
			}
			return &traced{s, name, tell}, nil
		}),
	}
}

// traced tells of the frames of a stream.
type traced struct {
	grpc.ClientStream
	name string
	tell func(string)
}

func (t *traced) SendMsg(m any) error {
	t.tell("→ " + t.name + " " + told(m))
	return t.ClientStream.SendMsg(m)
}

func (t *traced) RecvMsg(m any) error {
	err := t.ClientStream.RecvMsg(m)
	switch err {
	case nil:
		t.tell("← " + t.name + " " + told(m))
	case io.EOF:
		t.tell("← " + t.name + " end")
	default:
		t.tell("← " + t.name + " " + failure(err))
	}
	return err
}

// short is Service/Call of a method's full name.
func short(method string) string {
	service, call := path.Split(method)
	service = strings.Trim(service, "/")
	return service[strings.LastIndexByte(service, '.')+1:] + "/" + call
}

func failure(err error) string {
	s := status.Convert(err)
	return fmt.Sprintf("failed: %v: %s", s.Code(), clean(s.Message(), 200))
}

func told(v any) string {
	m, ok := v.(proto.Message)
	if !ok {
		return "?"
	}
	return message(m.ProtoReflect(), 0)
}

// maxNest bounds what is told of messages in messages.
const maxNest = 6

func message(m protoreflect.Message, depth int) string {
	if m.Descriptor().Name() == "Secret" {
		for form, name := range map[protoreflect.Name]string{"sealed": "‹sealed secret›", "plain": "‹plain secret›"} {
			if f := m.Descriptor().Fields().ByName(form); f != nil && m.Has(f) {
				return name
			}
		}
		return "‹no secret›"
	}
	if depth == maxNest {
		return "{…}"
	}
	var parts []string
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		parts = append(parts, string(f.Name())+": "+field(f, v, depth+1))
		return true
	})
	sort.Strings(parts) // Range has no order
	return "{" + strings.Join(parts, ", ") + "}"
}

// maxItems bounds the items of a list that are told.
const maxItems = 4

func field(f protoreflect.FieldDescriptor, v protoreflect.Value, depth int) string {
	switch {
	case f.IsMap():
		var parts []string
		v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			parts = append(parts, k.String()+": "+scalar(f.MapValue(), v, depth))
			return true
		})
		sort.Strings(parts)
		return "{" + strings.Join(parts, ", ") + "}"
	case f.IsList():
		var parts []string
		for i := range v.List().Len() {
			if i == maxItems {
				parts = append(parts, fmt.Sprintf("and %d more", v.List().Len()-i))
				break
			}
			parts = append(parts, scalar(f, v.List().Get(i), depth))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return scalar(f, v, depth)
}

func scalar(f protoreflect.FieldDescriptor, v protoreflect.Value, depth int) string {
	switch f.Kind() {
	case protoreflect.MessageKind:
		return message(v.Message(), depth)
	case protoreflect.BytesKind:
		return fmt.Sprintf("‹%d bytes›", len(v.Bytes()))
	case protoreflect.StringKind:
		return fmt.Sprintf("%q", clean(v.String(), 80))
	case protoreflect.EnumKind:
		if e := f.Enum().Values().ByNumber(v.Enum()); e != nil {
			return strings.ToLower(string(e.Name()))
		}
	}
	return v.String()
}
