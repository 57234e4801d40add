package cli

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/cmd/keposs/internal/release"
	"github.com/keposs/keposs/cmd/keposs/internal/server"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/plugins/catalog"
	"github.com/keposs/keposs/plugins/image"
)

// imageShown is what `keposs image build --json` and `verify --json` print.
type imageShown struct {
	OK       bool        `json:"ok"`
	Dir      string      `json:"dir"`
	Manifest string      `json:"manifest"` // SM3 of what is signed
	Vendor   string      `json:"vendor"`
	Files    []imageFile `json:"files"`
}

type imageFile struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	Path string `json:"path"`
	SM3  string `json:"sm3"`
	Size int64  `json:"size"`
}

func imageCommands(e *Env) []*cobra.Command {
	return []*cobra.Command{group("image", "Build and check a signed release image of the module",
		"  keposs image key vendor.pem\n  keposs image build --key vendor.pem --out release\n  keposs image verify release --vendor vendor.pub.pem",
		imageKeyCommand(e), imageBuildCommand(e), imageVerifyCommand(e))}
}

func imageKeyCommand(e *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "key FILE",
		Short: "Make the key that signs releases: FILE and, beside it, its public half",
		Long: `Make an SM2 key pair. FILE gets the private key as PKCS#8 in PEM, mode 0600, not
encrypted: keep it where releases are signed and nowhere else. FILE.pub gets the
public half, for people who check a release. openssl genpkey -algorithm SM2 makes
such a file too.`,
		Example: "  keposs image key vendor.pem",
		Args:    exactly(1, "one FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			const op = "image key"
			k, err := sm.GenerateKey(nil)
			if err != nil {
				return err
			}
			defer k.Wipe()
			if err := sm.PairTest(k); err != nil {
				return err
			}
			text := k.PrivatePEM()
			defer text.Wipe()
			for _, f := range []struct {
				name string
				data []byte
				mode os.FileMode
			}{{args[0], text.Bytes(), 0o600}, {args[0] + ".pub", k.Public().PEM(), 0o644}} {
				w, err := os.OpenFile(f.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
				if err != nil {
					return core.Errorf(core.Usage, op, "%w", err)
				}
				_, err = w.Write(f.data)
				if err = errors.Join(err, w.Sync(), w.Close()); err != nil {
					return core.Errorf(core.Unavailable, op, "%s: %w", f.name, err)
				}
			}
			return e.Report(map[string]string{"key": args[0], "public": args[0] + ".pub"}, func(w io.Writer) {
				fmt.Fprintf(w, "private key in %s, public key in %s.pub\n", args[0], args[0])
			})
		},
	}
}

func imageBuildCommand(e *Env) *cobra.Command {
	var key string
	var plugins []string
	o := release.Options{}
	c := &cobra.Command{
		Use:   "build --key FILE --out DIR",
		Short: "Build the program with your key stamped into it, and sign what belongs to it",
		Long: `Build a release image from source: the program, stripped and position independent,
with the public half of your key stamped into it as the only signer it believes;
your own plugins (--plugin), and a signed manifest with the SM3 of every file.
Equal sources and compiler give equal files.

Run from the folder of the source, or name it with --source.`,
		Example: `  keposs image build --key vendor.pem --out release
  keposs image build --key vendor.pem --out release --version v1.2.0 --plugin ./my-camera`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if o.Key, err = readSigningKey(key); err != nil {
				return err
			}
			defer o.Key.Wipe()
			for _, path := range plugins {
				p, err := e.identifyPlugin(c.Context(), "image build", path)
				if err != nil {
					return err
				}
				o.Plugins = append(o.Plugins, release.Plugin{Kind: p.Kind, Name: p.Name, Version: p.Version, Root: p.Root, Main: p.Main, Others: p.Others})
			}
			o.Log = e.Stderr
			cat, err := release.Build(c.Context(), o)
			if err != nil {
				return err
			}
			return e.reportImage(o.Out, cat, "built")
		},
	}
	f := c.Flags()
	f.StringVar(&key, "key", "", "`file` with the vendor's private key in PEM")
	f.StringVar(&o.Out, "out", "", "empty or new `folder` for the image")
	f.StringVar(&o.Source, "source", ".", "`folder` of the source")
	f.StringVar(&o.Package, "package", release.DefaultPackage, "main `package` to build")
	f.StringVar(&o.Name, "name", "keposs", "file `name` of the program")
	f.StringVar(&o.Version, "version", "devel", "`word` stamped in as the version")
	f.StringArrayVar(&plugins, "plugin", nil, "a plugin `path` that belongs to the image; may be repeated")
	_ = c.MarkFlagRequired("key")
	_ = c.MarkFlagRequired("out")
	return c
}

// readSigningKey reads a private key that nobody else may read.
func readSigningKey(path string) (*sm.PrivateKey, error) {
	b, err := server.ReadKeyFile("image build", path)
	if err != nil {
		return nil, err
	}
	defer b.Wipe()
	return sm.ParsePrivatePEM(b.Bytes())
}

func imageVerifyCommand(e *Env) *cobra.Command {
	var vendor string
	c := &cobra.Command{
		Use:   "verify DIR",
		Short: "Check every file of a release image against the vendor's signature",
		Long: `Check a release image: the manifest's signature, the SM3 of every file, and that
nothing else lies in the folder. A file that differs is named.

The signer that counts is the one stamped into the keposs you run, or the one you
name with --vendor. Do not check an image with its own program: a changed program
says what it was changed to say.`,
		Example: "  keposs image verify release --vendor vendor.pem.pub",
		Args:    exactly(1, "one DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			key, ok, err := image.Vendor()
			if err != nil {
				return err
			}
			if vendor != "" {
				b, err := os.ReadFile(vendor)
				if err != nil {
					return core.Errorf(core.Usage, "image verify", "%w", err)
				}
				if key, err = sm.ParsePEM(b); err != nil {
					return err
				}
			} else if !ok {
				return advise(core.Errorf(core.Usage, "image verify", "this program has no vendor's key stamped in"), "name the vendor's public key with --vendor FILE")
			}
			cat, err := image.Verify(args[0], key)
			if err != nil {
				return advise(err, "do not use this image; get the release again and ask its vendor")
			}
			return e.reportImage(args[0], cat, "signed and whole")
		},
	}
	c.Flags().StringVar(&vendor, "vendor", "", "`file` with the vendor's public key in PEM (default: the stamped one)")
	return c
}

func (e *Env) reportImage(dir string, cat *catalog.Catalog, word string) error {
	sum, key := cat.Manifest.Digest(), cat.Manifest.Signer.Compressed()
	out := imageShown{OK: true, Dir: dir, Manifest: hex.EncodeToString(sum[:]), Vendor: hex.EncodeToString(key[:])}
	for _, p := range cat.Manifest.Plugins {
		for _, f := range p.Files {
			out.Files = append(out.Files, imageFile{p.Kind, p.Name, f.Path, hex.EncodeToString(f.SM3[:]), f.Size})
		}
	}
	return e.Report(out, func(w io.Writer) {
		for _, f := range out.Files {
			fmt.Fprintf(w, "%-8s %-14s %.16s… %10d %s\n", f.Kind, f.Name, f.SM3, f.Size, f.Path)
		}
		fmt.Fprintf(w, "%s is %s\nmanifest %s\nvendor   %s\n", dir, word, out.Manifest, out.Vendor)
	})
}
