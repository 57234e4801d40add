package cli

import (
	"encoding/hex"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/plugins/image"
)

// Version is the release, stamped by the linker: -X …/cli.Version=v1.2.3.
// Without a stamp the module version or "devel" stands in.
var Version = ""

// versionInfo is what `keposs version` tells.
// req: K-17.1-01, K-17.1-04
type versionInfo struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Wire     struct {
		MSTCC   string `json:"mst_cc"`
		SSCC    string `json:"ss_cc"`
		Plugins string `json:"plugins"`
	} `json:"wire"`
	Image    string `json:"image"`              // trust state of the program's own image
	Manifest string `json:"manifest,omitempty"` // SM3 of what the vendor signed
	Vendor   string `json:"vendor,omitempty"`   // the vendor's key, compressed, hex
	Problem  string `json:"problem,omitempty"`  // why a stamped program has no image
}

func readVersion() versionInfo {
	v := versionInfo{Name: "keposs", Version: Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Image: "none"}
	// Each component names the versions of the other it works with (K-6-01).
	v.Wire.MSTCC, v.Wire.SSCC, v.Wire.Plugins = "1", "1", "1"
	info, ok := debug.ReadBuildInfo()
	if ok {
		if v.Version == "" {
			v.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Commit = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	if v.Version == "" || v.Version == "(devel)" {
		v.Version = "devel"
	}
	if rev := image.Commit(); rev != "" {
		v.Commit, v.Modified = strings.CutSuffix(rev, "+")
	}
	c, err := image.Running()
	switch {
	case err != nil:
		v.Image, v.Problem = "broken", err.Error()
	case c != nil:
		sum, key := c.Manifest.Digest(), c.Manifest.Signer.Compressed()
		v.Image, v.Manifest, v.Vendor = string(c.Trust), hex.EncodeToString(sum[:]), hex.EncodeToString(key[:])
	}
	return v
}

func versionCommands(e *Env) []*cobra.Command {
	c := &cobra.Command{
		Use:   "version",
		Short: "Show version, commit and the versions of the wire this build speaks",
		Example: `  keposs version
  keposs version --json`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			v := readVersion()
			return e.Report(v, func(w io.Writer) {
				fmt.Fprintf(w, "keposs %s\n", v.Version)
				if v.Commit != "" {
					changed := ""
					if v.Modified {
						changed = " with local changes"
					}
					fmt.Fprintf(w, "commit   %s%s\n", v.Commit, changed)
				}
				fmt.Fprintf(w, "built    %s for %s\n", v.Go, v.Platform)
				fmt.Fprintf(w, "wire     MST-CC %s, SS-CC %s, plugins %s\n", v.Wire.MSTCC, v.Wire.SSCC, v.Wire.Plugins)
				switch {
				case v.Problem != "":
					fmt.Fprintf(w, "image    %s: %s\n", v.Image, v.Problem)
				case v.Manifest != "":
					fmt.Fprintf(w, "image    %s, manifest %s\nvendor   %s\n", v.Image, v.Manifest, v.Vendor)
				default:
					fmt.Fprintf(w, "image    %s: not a signed release image, results are not approved\n", v.Image)
				}
			})
		},
	}
	return []*cobra.Command{c}
}
