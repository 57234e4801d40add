package kdf_test

import (
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf"
	"github.com/keposs/keposs/kdf/kdftest"
	"github.com/keposs/keposs/kdf/pbkdf2sm3"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/plugintest"
)

func TestMain(m *testing.M) { plugintest.Main(m, plugins.Registry{KDF: kdf.Builtin}) }

// remote is the default KDF's harness over what open returns; its endings are
// collected for the test.
func remote(t *testing.T, name string, open func() (core.KDF, plugintest.Ending, error)) kdftest.Harness {
	t.Helper()
	return kdftest.Harness{
		Name: name, Cheap: params(t, "pbkdf2sm3$i=1024"), Costly: params(t, "pbkdf2sm3$i=300000"), Reference: pbkdf2Reference,
		New: func() (core.KDF, error) {
			k, end, err := open()
			if err == nil {
				t.Cleanup(func() {
					if err := end(); err != nil {
						t.Errorf("end the plugin: %v", err)
					}
				})
			}
			return k, err
		},
	}
}

// req: K-15.2-02c
func TestConformanceThroughGlue(t *testing.T) {
	kdftest.Run(t, remote(t, "glue", func() (core.KDF, plugintest.Ending, error) {
		return plugintest.OverKDF(t.Context(), pbkdf2sm3.New())
	}))
}

// req: K-15.2-02c
func TestConformanceAsProcess(t *testing.T) {
	kdftest.Run(t, remote(t, "process", func() (core.KDF, plugintest.Ending, error) {
		return plugintest.OpenKDF(t.Context(), pbkdf2sm3.Name)
	}))
}
