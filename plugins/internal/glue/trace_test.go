package glue

import (
	"bytes"
	"strings"
	"testing"

	"github.com/keposs/keposs/plugins/internal/wire"
)

// A trace tells what is asked and answered, and no secret or its length.
func TestTraceHoldsNoSecret(t *testing.T) {
	hidden := bytes.Repeat([]byte("271828"), 3)
	secret := func(sealed bool) *wire.Secret {
		if sealed {
			return &wire.Secret{Form: &wire.Secret_Sealed{Sealed: hidden}}
		}
		return &wire.Secret{Form: &wire.Secret_Plain{Plain: hidden}}
	}
	for want, m := range map[string]any{
		`data: ‹plain secret›`:              &wire.Sample{Kind: "pin", Data: secret(false)},
		`secret: ‹sealed secret›`:           &wire.Enrollment{Secret: secret(true), Helper: []byte{1, 2, 3}},
		`helper: ‹3 bytes›`:                 &wire.Enrollment{Secret: secret(true), Helper: []byte{1, 2, 3}},
		`secrets: {token: ‹plain secret›}`:  &wire.Config{Secrets: map[string]*wire.Secret{"token": secret(false)}},
		`values: {folder: "captures"}`:      &wire.Config{Values: map[string]string{"folder": "captures"}},
		`purpose: purpose_enroll`:           &wire.Prompt{Purpose: wire.Purpose_PURPOSE_ENROLL},
		`sample: {data: ‹plain secret›, ki`: &wire.EnrollRequest{Frame: &wire.EnrollRequest_Sample{Sample: &wire.Sample{Kind: "pin", Data: secret(false)}}},
	} {
		got := told(m)
		if !strings.Contains(got, want) {
			t.Errorf("%s, want %s in it", got, want)
		}
		if strings.Contains(got, "271828") || strings.Contains(got, "18") {
			t.Errorf("the trace tells a secret or its length: %s", got)
		}
	}
	if got := short("/keposs.plugin.v1.Source/Enroll"); got != "Source/Enroll" {
		t.Errorf("the method is %s", got)
	}
}
