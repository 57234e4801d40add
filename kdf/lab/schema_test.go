package lab

import (
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write schema.json")

// schemaOf is the JSON Schema of a type, from its json tags.
func schemaOf(t reflect.Type) map[string]any {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.String:
		return map[string]any{"type": "string"}
	case t.Kind() == reflect.Bool:
		return map[string]any{"type": "boolean"}
	case t.Kind() == reflect.Float64:
		return map[string]any{"type": "number"}
	case t.Kind() == reflect.Int:
		return map[string]any{"type": "integer"}
	case t.Kind() == reflect.Uint64:
		return map[string]any{"type": "integer", "minimum": 0}
	case t.Kind() == reflect.Slice:
		return map[string]any{"type": []string{"array", "null"}, "items": schemaOf(t.Elem())}
	case t.Kind() == reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	}
	props, required := map[string]any{}, []string{}
	for i := range t.NumField() {
		name, opt, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		props[name] = schemaOf(t.Field(i).Type)
		if opt == "" {
			required = append(required, name)
		}
	}
	return map[string]any{"type": "object", "properties": props, "required": required, "additionalProperties": false}
}

// The published schema is the schema of the types.
func TestSchema(t *testing.T) {
	s := schemaOf(reflect.TypeFor[Result]())
	s["$schema"], s["$id"], s["title"] = "https://json-schema.org/draft/2020-12/schema", "urn:"+Schema, "Result of `keposs lab kdf --json`"
	s["properties"].(map[string]any)["schema"] = map[string]any{"const": Schema}
	ratios := map[string]any{}
	for _, n := range RatioNames {
		ratios[n] = map[string]any{"type": "number", "exclusiveMinimum": 0}
	}
	s["properties"].(map[string]any)["ratios"] = map[string]any{"type": "object", "properties": ratios, "additionalProperties": false}
	want, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("schema.json", append(want, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		SchemaText = string(want) + "\n"
	}
	if SchemaText != string(want)+"\n" {
		t.Error("schema.json is not that of the types: go test ./kdf/lab -run Schema -update")
	}
}
