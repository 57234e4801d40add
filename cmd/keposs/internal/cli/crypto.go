package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

func cryptoCommands(e *Env) []*cobra.Command {
	return []*cobra.Command{signCommand(e), verifyCommand(e), encryptCommand(e), decryptCommand(e)}
}

// wrote is what commands that leave a file print.
type wrote struct {
	Output   string `json:"output"`
	Bytes    int    `json:"bytes"`
	Format   string `json:"format,omitempty"`
	Approved bool   `json:"approved"`
}

func (v wrote) print(w io.Writer) {
	if v.Output != "-" {
		fmt.Fprintf(w, "%s (%d bytes)\n", v.Output, v.Bytes)
	}
}

// reportFile reports a written file; with "-" standard output already holds
// the bytes themselves, so the report stays away.
func (e *Env) reportFile(v wrote) error {
	if v.Output == "-" {
		return nil
	}
	return e.Report(v, v.print)
}

// checkOut refuses --json together with "-": both want standard output.
func (e *Env) checkOut(op, out string) error {
	if out == "-" && e.json {
		return usagef(op, "--out - and --json both want standard output: name a file")
	}
	return nil
}

func signCommand(e *Env) *cobra.Command {
	var s session
	var out, format, id string
	c := &cobra.Command{
		Use:   "sign FILE",
		Short: "Sign a file with the user's key (SM2 with SM3, clause 7.2)",
		Example: `  keposs sign contract.pdf
  keposs sign contract.pdf --out contract.sig --format raw
  echo hello | keposs sign - --out -`,
		Args: exactly(1, "one FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			const op = "sign"
			if format != "der" && format != "raw" {
				return usagef(op, "--format %q, want der or raw", format)
			}
			name := outputName(out, args[0], ".sig")
			if err := e.checkOut(op, name); err != nil {
				return err
			}
			msg, err := e.readInput(op, args[0], maxInput)
			if err != nil {
				return err
			}
			return s.with(c.Context(), e, func(cl *client.Client) error {
				sig, err := cl.Sign(c.Context(), client.SignRequest{Message: msg, ID: idOf(id), Factors: s.factors})
				if err != nil {
					return err
				}
				b := sig.DER()
				if format == "raw" {
					b = sig.Raw()
				}
				s.warn(e, sig.Outcome)
				if err := e.writeOutput(op, name, b, 0o644); err != nil {
					return err
				}
				return e.reportFile(wrote{name, len(b), format, sig.Approved && !s.ppd.given()})
			})
		},
	}
	s.register(c)
	c.Flags().StringVarP(&out, "out", "o", "", "`file` of the signature (default FILE.sig, - = standard output)")
	c.Flags().StringVar(&format, "format", "der", "der or raw (r‖s)")
	c.Flags().StringVar(&id, "id", "", "SM2 user id (default 1234567812345678)")
	return c
}

// outputName is --out, or the input's name with a suffix; standard input's
// default output is standard output.
func outputName(out, in, suffix string) string {
	switch {
	case out != "":
		return out
	case in == "-":
		return "-"
	default:
		return in + suffix
	}
}

func idOf(text string) []byte {
	if text == "" {
		return nil
	}
	return []byte(text)
}

// warn tells of tries somebody else made with this terminal's key.
func (s *session) warn(e *Env, o client.Outcome) {
	for _, h := range o.Foreign {
		e.Note("WARNING: try %d was made by device %s, not by this run: somebody else may have this terminal's key", h.Seq, h.Device)
	}
}

// verified is what `keposs verify --json` prints.
type verified struct {
	Valid    bool `json:"valid"`
	Approved bool `json:"approved"`
}

func verifyCommand(e *Env) *cobra.Command {
	var s session
	var sigFile, keyFile, id string
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify a signature (clause 7.3); exit status 1 when it is not valid",
		Long: `Verify a signature (clause 7.3). Without --key the user's own public key is used.
Under the default profile the factors are asked for first; a user initialised
with --verify-open is not asked, and SS-CC is not contacted.`,
		Example: `  keposs verify contract.pdf
  keposs verify contract.pdf --signature contract.sig --key signer.pem
  keposs verify contract.pdf --id alice@example.org`,
		Args: exactly(1, "one FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			const op = "verify"
			msg, err := e.readInput(op, args[0], maxInput)
			if err != nil {
				return err
			}
			if sigFile == "" {
				sigFile = args[0] + ".sig"
			}
			sig, err := e.readInput(op, sigFile, 4<<10)
			if err != nil {
				return err
			}
			key, err := readKey(e, op, keyFile)
			if err != nil {
				return err
			}
			return s.with(c.Context(), e, func(cl *client.Client) error {
				ok, out, err := cl.Verify(c.Context(), client.VerifyRequest{Key: key, Message: msg, ID: idOf(id), Signature: sig, Factors: s.factors})
				if err != nil {
					return err
				}
				return e.Verdict(ok, verified{ok, out.Approved && !s.ppd.given()}, func(w io.Writer) {
					if ok {
						fmt.Fprintln(w, "valid")
					} else {
						fmt.Fprintln(w, "NOT valid: other key, other id, altered file or altered signature")
					}
				})
			})
		},
	}
	s.register(c)
	c.Flags().StringVarP(&sigFile, "signature", "s", "", "`file` of the signature, DER or raw (default FILE.sig)")
	c.Flags().StringVarP(&keyFile, "key", "k", "", "PEM `file` of the signer's public key (default: the user's own)")
	c.Flags().StringVar(&id, "id", "", "SM2 user id (default 1234567812345678)")
	return c
}

// readKey reads a public key in PEM; no name is the zero key.
func readKey(e *Env, op, name string) (key client.PublicKey, err error) {
	if name == "" {
		return key, nil
	}
	b, err := e.readInput(op, name, 16<<10)
	if err != nil {
		return key, err
	}
	if key, err = client.ParsePublicKey(b); err != nil {
		return key, core.Errorf(core.Invalid, op, "%s: %w", name, err)
	}
	return key, nil
}

func encryptCommand(e *Env) *cobra.Command {
	var s session
	var out, format, to string
	c := &cobra.Command{
		Use:   "encrypt FILE",
		Short: "Encrypt a file to a public key (SM2); asks for no factor",
		Long: `Encrypt a file to a public key. der and raw are SM2 encryption of the whole file
(up to 1 MiB), which any SM2 implementation opens; envelope is SM4-CTR with
HMAC-SM3 under a key sealed by SM2, for files up to 64 MiB.`,
		Example: `  keposs encrypt notes.txt
  keposs encrypt notes.txt --to friend.pem --out notes.sm2
  keposs encrypt film.mkv --format envelope`,
		Args: exactly(1, "one FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			const op = "encrypt"
			form, ok := map[string]client.Form{"der": client.FormDER, "raw": client.FormRaw, "envelope": client.FormEnvelope}[format]
			if !ok {
				return usagef(op, "--format %q, want der, raw or envelope", format)
			}
			name := outputName(out, args[0], ".sm2")
			if err := e.checkOut(op, name); err != nil {
				return err
			}
			msg, err := e.readInput(op, args[0], maxInput)
			if err != nil {
				return err
			}
			defer secret.Zero(msg)
			key, err := readKey(e, op, to)
			if err != nil {
				return err
			}
			return s.with(c.Context(), e, func(cl *client.Client) error {
				b, outcome, err := cl.Encrypt(c.Context(), msg, key, form)
				if err != nil {
					return err
				}
				if err := e.writeOutput(op, name, b, 0o644); err != nil {
					return err
				}
				return e.reportFile(wrote{name, len(b), format, outcome.Approved})
			})
		},
	}
	s.register(c)
	c.Flags().StringVarP(&out, "out", "o", "", "`file` of the ciphertext (default FILE.sm2, - = standard output)")
	c.Flags().StringVar(&format, "format", "der", "der, raw (C1C3C2) or envelope")
	c.Flags().StringVarP(&to, "to", "t", "", "PEM `file` of the receiver's public key (default: the user's own)")
	return c
}

func decryptCommand(e *Env) *cobra.Command {
	var s session
	var out string
	c := &cobra.Command{
		Use:   "decrypt FILE",
		Short: "Decrypt a file with the user's key; asks for the factors",
		Long: `Decrypt a file with the user's key. DER, raw and envelope are told apart by
themselves. The plaintext goes to standard output, or to --out with mode 0600.`,
		Example: `  keposs decrypt notes.txt.sm2 --out notes.txt
  keposs decrypt notes.txt.sm2 | less`,
		Args: exactly(1, "one FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			const op = "decrypt"
			if out == "" {
				out = "-"
			}
			if err := e.checkOut(op, out); err != nil {
				return err
			}
			ct, err := e.readInput(op, args[0], maxInput+4096)
			if err != nil {
				return err
			}
			return s.with(c.Context(), e, func(cl *client.Client) error {
				plain, o, err := cl.Decrypt(c.Context(), ct, s.factors...)
				if err != nil {
					return err
				}
				defer plain.Wipe()
				s.warn(e, o)
				if err := e.writeOutput(op, out, plain.Bytes(), 0o600); err != nil {
					return err
				}
				return e.reportFile(wrote{out, plain.Len(), "", o.Approved && !s.ppd.given()})
			})
		},
	}
	s.register(c)
	c.Flags().StringVarP(&out, "out", "o", "", "`file` of the plaintext (default standard output)")
	return c
}
