package settings_test

import (
	"strings"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/escrow/internal/settings"
)

var schema = []core.ConfigField{
	{Name: "dir", Type: "path"},
	{Name: "n", Type: "int", Default: "4"},
	{Name: "on", Type: "bool", Default: "true"},
	{Name: "wait", Type: "duration", Default: "1s"},
	{Name: "password", Type: "secret"},
}

func TestRead(t *testing.T) {
	s := settings.Read("test", schema, core.Config{Values: map[string]string{"dir": "/x"}})
	if s.Required("dir") != "/x" || s.Int("n", 1, 9) != 4 || !s.Bool("on") || s.Duration("wait", 0, time.Minute) != time.Second || s.Err() != nil {
		t.Fatalf("defaults not taken: %v", s.Err())
	}
	for name, c := range map[string]core.Config{
		"unknown":         {Values: map[string]string{"dirr": "x"}},
		"plain secret":    {Values: map[string]string{"password": "hunter2"}},
		"unknown secret":  {Secrets: map[string]*secret.Buffer{"dir": secret.New(1)}},
		"out of range":    {Values: map[string]string{"dir": "x", "n": "10"}},
		"not a number":    {Values: map[string]string{"dir": "x", "n": "4k"}},
		"missing":         {},
		"not a duration":  {Values: map[string]string{"dir": "x", "wait": "3"}},
		"neither, nor so": {Values: map[string]string{"dir": "x", "on": "maybe"}},
	} {
		s := settings.Read("test", schema, c)
		s.Required("dir")
		s.Int("n", 1, 9)
		s.Bool("on")
		s.Duration("wait", 0, time.Minute)
		if core.CodeOf(s.Err()) != core.Invalid {
			t.Errorf("%s: %v, want invalid", name, s.Err())
		}
		if s.Err() != nil && strings.Contains(s.Err().Error(), "hunter2") {
			t.Errorf("%s: the error shows the secret", name)
		}
	}
}
