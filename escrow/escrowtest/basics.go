package escrowtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/keposs/keposs/core"
)

var basics = []Case{
	{"Describe", "Describe returns a name, a version and a well-formed schema, the same before and after Configure.",
		"Return a constant.", "A", 0, describe},
	{"GetAbsent", "An absent key has Version 0, nil Hot and Blob, and its key.", "GetMany never leaves a hole.", "A", 0,
		func(ctx context.Context, r *Rig) error {
			b, err := r.Common(ctx)
			if err != nil {
				return err
			}
			k := newKeys().at(0)
			rec, err := get(ctx, b, k)
			if err != nil {
				return err
			}
			if rec.Version != 0 || rec.Hot != nil || rec.Blob != nil || !bytes.Equal(rec.Key, k) {
				return fmt.Errorf("absent key gives %+v", rec)
			}
			return nil
		}},
	{"PutGet", "What Put wrote, GetMany returns, with the ReqID; HotOnly leaves Blob nil.", "Compare every field.", "A", 0, putGet},
	{"PutHotKeepsBlob", "PutHot replaces Hot and leaves Blob untouched.", "The blob must survive any number of them.", "A", 0,
		func(ctx context.Context, r *Rig) error {
			b, err := r.Common(ctx)
			if err != nil {
				return err
			}
			k, blob := newKeys().at(0), strings.Repeat("blob", 700)
			return first(
				want(ctx, b, put(k, 0, "h1", blob), 1),
				want(ctx, b, putHot(k, 1, "h2"), 2), want(ctx, b, putHot(k, 2, "h3"), 3),
				holds(ctx, b, k, 3, "h3", blob),
				want(ctx, b, put(k, 3, "h4", "other"), 4), holds(ctx, b, k, 4, "h4", "other"))
		}},
	{"Delete", "A deleted key reads as absent.", "Keep a tombstone, show none.", "A", 0,
		func(ctx context.Context, r *Rig) error {
			b, err := r.Common(ctx)
			if err != nil {
				return err
			}
			k := newKeys().at(0)
			if err := first(want(ctx, b, put(k, 0, "h", "b"), 1), want(ctx, b, del(k, 1), 2)); err != nil {
				return err
			}
			rec, err := get(ctx, b, k)
			if err != nil {
				return err
			}
			if rec.Version != 0 || rec.Hot != nil || rec.Blob != nil {
				return fmt.Errorf("deleted key gives version %d, hot %d bytes, blob %d bytes", rec.Version, len(rec.Hot), len(rec.Blob))
			}
			return nil
		}},
	{"ArgumentsAreLent", "A backend keeps no slice of its arguments, and returned slices belong to the caller.",
		"Copy on the way in and on the way out.", "A", 0, lent},
	{"ConfigureOnce", "Calls before Configure and a second Configure are State; a bad setting is Invalid and changes nothing.",
		"Check names against the schema first.", "A", 0, configureOnce},
	{"ClosedIsClosed", "After Close every call is Closed and a second Close is nil.", "Keep a flag under a lock.", "A", 0, closedIsClosed},
	{"ReopenKeeps", "What was acknowledged is there after Close and reopening, versions and tombstones included.",
		"Sync before answering.", "A", 0, reopenKeeps},
}

var nameRule = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)

func describe(ctx context.Context, r *Rig) error {
	bare, err := r.New()
	if err != nil {
		return err
	}
	defer bare.Close()
	before, err := bare.Describe(ctx)
	if err != nil {
		return err
	}
	b, err := r.Common(ctx)
	if err != nil {
		return err
	}
	after, err := b.Describe(ctx)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(before, after) {
		return fmt.Errorf("%+v before Configure, %+v after", before, after)
	}
	if !nameRule.MatchString(after.Name) || after.Version == "" {
		return fmt.Errorf("name %q or version %q is not usable", after.Name, after.Version)
	}
	seen := map[string]bool{}
	for _, f := range after.Schema {
		switch f.Type {
		case "int", "bool", "duration", "string", "path", "secret":
		default:
			return fmt.Errorf("setting %s has unknown type %q", f.Name, f.Type)
		}
		if !nameRule.MatchString(f.Name) || f.Help == "" || seen[f.Name] {
			return fmt.Errorf("setting %q: want a unique name of [a-z0-9_] and a help sentence", f.Name)
		}
		seen[f.Name] = true
	}
	return nil
}

func putGet(ctx context.Context, r *Rig) error {
	b, err := r.Common(ctx)
	if err != nil {
		return err
	}
	k := newKeys().at(0)
	m := put(k, 0, "hot", "blob")
	if err := want(ctx, b, m, 1); err != nil {
		return err
	}
	rec, err := get(ctx, b, k)
	if err != nil {
		return err
	}
	if !bytes.Equal(rec.Key, k) || rec.Version != 1 || string(rec.Hot) != "hot" || string(rec.Blob) != "blob" || rec.ReqID != m.ReqID {
		return fmt.Errorf("wrote %+v, read %+v", m, rec)
	}
	for _, stale := range []bool{false, true} {
		rs, err := b.GetMany(ctx, []core.Key{k}, core.ReadOpts{HotOnly: true, Stale: stale})
		if err != nil {
			return err
		}
		if rs[0].Blob != nil || !stale && string(rs[0].Hot) != "hot" {
			return fmt.Errorf("HotOnly gives hot %q, blob %q", rs[0].Hot, rs[0].Blob)
		}
	}
	return nil
}

func lent(ctx context.Context, r *Rig) error {
	b, err := r.Common(ctx)
	if err != nil {
		return err
	}
	k := newKeys().at(0)
	m := put(k, 0, "hot", "blob")
	m.Key = bytes.Clone(k)
	if err := want(ctx, b, m, 1); err != nil {
		return err
	}
	clear(m.Key)
	clear(m.Hot)
	clear(m.Blob)
	if err := holds(ctx, b, k, 1, "hot", "blob"); err != nil {
		return fmt.Errorf("after the caller reused its arguments: %w", err)
	}
	rec, err := get(ctx, b, k)
	if err != nil {
		return err
	}
	clear(rec.Key)
	clear(rec.Hot)
	clear(rec.Blob)
	if err := holds(ctx, b, k, 1, "hot", "blob"); err != nil {
		return fmt.Errorf("after the caller changed what it was given: %w", err)
	}
	return nil
}

func configureOnce(ctx context.Context, r *Rig) error {
	p, err := r.Place()
	if err != nil {
		return err
	}
	if p.Remove != nil {
		defer p.Remove()
	}
	b, err := r.New()
	if err != nil {
		return err
	}
	defer b.Close()
	if _, err := b.GetMany(ctx, []core.Key{{1}}, core.ReadOpts{}); !errors.Is(err, core.State) {
		return fmt.Errorf("GetMany before Configure: %v, want state", err)
	}
	if _, err := b.CommitMany(ctx, []core.Mutation{put(core.Key{1}, 0, "", "")}); !errors.Is(err, core.State) {
		return fmt.Errorf("CommitMany before Configure: %v, want state", err)
	}
	bad := core.Config{Values: map[string]string{"no_such_setting": "1"}, Secrets: p.Config.Secrets}
	for k, v := range p.Config.Values {
		bad.Values[k] = v
	}
	if err := b.Configure(ctx, bad); !errors.Is(err, core.Invalid) {
		return fmt.Errorf("unknown setting: %v, want invalid", err)
	}
	if err := b.Configure(ctx, p.Config); err != nil {
		return fmt.Errorf("configure after a refused one: %w", err)
	}
	if err := b.Configure(ctx, p.Config); !errors.Is(err, core.State) {
		return fmt.Errorf("second Configure: %v, want state", err)
	}
	return nil
}

func closedIsClosed(ctx context.Context, r *Rig) error {
	b, err := r.Fresh(ctx)
	if err != nil {
		return err
	}
	k := newKeys().at(0)
	if err := want(ctx, b, put(k, 0, "h", "b"), 1); err != nil {
		return err
	}
	if err := first(b.Close(), b.Close()); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	_, e1 := b.GetMany(ctx, []core.Key{k}, core.ReadOpts{})
	_, e2 := b.CommitMany(ctx, []core.Mutation{put(k, 1, "h", "b")})
	_, e3 := b.Scan(ctx, core.ScanRequest{Limit: 1})
	for name, err := range map[string]error{"GetMany": e1, "CommitMany": e2, "Scan": e3, "Configure": b.Configure(ctx, b.Place.Config)} {
		if !errors.Is(err, core.Closed) {
			return fmt.Errorf("%s after Close: %v, want closed", name, err)
		}
	}
	return nil
}

func reopenKeeps(ctx context.Context, r *Rig) error {
	if !r.Durable {
		return Skip("this backend keeps nothing when it is closed, and says so")
	}
	b, err := r.Fresh(ctx)
	if err != nil {
		return err
	}
	ks, big := newKeys(), strings.Repeat("x", 5000)
	if err := first(
		want(ctx, b, put(ks.at(0), 0, "a", big), 1), want(ctx, b, putHot(ks.at(0), 1, "b"), 2),
		want(ctx, b, put(ks.at(1), 0, "c", "d"), 1), want(ctx, b, del(ks.at(1), 1), 2)); err != nil {
		return err
	}
	for range 2 {
		if err := b.Reopen(ctx); err != nil {
			return err
		}
		if err := first(
			holds(ctx, b, ks.at(0), 2, "b", big), holds(ctx, b, ks.at(1), 0, "", ""),
			refused(ctx, b, putHot(ks.at(1), 2, "z"), core.NotFound, 2)); err != nil {
			return fmt.Errorf("after reopening: %w", err)
		}
	}
	return want(ctx, b, put(ks.at(1), 0, "e", "f"), 3)
}
