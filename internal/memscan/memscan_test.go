//go:build linux

package memscan_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/keposs/keposs/internal/memscan"
)

func TestMain(m *testing.M) {
	if os.Getenv("KEPOSS_MEMSCAN_CHILD") == "" {
		os.Exit(m.Run())
	}
	secret := make([]byte, 32)
	if _, err := io.ReadFull(os.Stdin, secret); err != nil {
		os.Exit(1)
	}
	memscan.Mask(secret)
	var keep []byte
	switch os.Getenv("KEPOSS_MEMSCAN_CHILD") {
	case "reversed":
		keep = make([]byte, 32)
		for i := range keep {
			keep[i] = secret[31-i]
		}
	case "hex":
		keep = []byte(hex.EncodeToString(secret))
	case "half":
		keep = bytes.Clone(secret[16:])
	case "plain":
		keep = bytes.Clone(secret)
	}
	clear(secret)
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(keep)
	os.Exit(0)
}

// req: TK-01
func TestFindsWhatStaysAndNothingElse(t *testing.T) {
	for child, form := range map[string]string{"plain": "s/be[0:]", "reversed": "s/le[16:]", "hex": "s/hex", "half": "s/be[16:]", "wiped": ""} {
		t.Run(child, func(t *testing.T) {
			secret := make([]byte, 32)
			if _, err := rand.Read(secret); err != nil {
				t.Fatal(err)
			}
			patterns, err := memscan.Forms("s", secret)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "KEPOSS_MEMSCAN_CHILD="+child)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = in.Close(); _ = cmd.Wait() }()
			memscan.Mask(secret)
			if _, err := in.Write(secret); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(out, make([]byte, 6)); err != nil {
				t.Fatal(err)
			}
			finds, scanned, err := memscan.Scan(cmd.Process.Pid, patterns)
			if err != nil {
				t.Fatal(err)
			}
			if scanned < 1<<20 {
				t.Errorf("only %d bytes were read", scanned)
			}
			hit := false
			for _, f := range finds {
				hit = hit || f.Pattern == form
				if form == "" {
					t.Errorf("found %s", f)
				}
				if strings.Contains(f.String(), hex.EncodeToString(secret[:4])) {
					t.Errorf("%s shows the secret", f)
				}
			}
			if form != "" && !hit {
				t.Errorf("%s was not found among %d finds", form, len(finds))
			}
		})
	}
}

func TestShortPatternsAreRefused(t *testing.T) {
	if _, err := memscan.Forms("pin", []byte("123456")); err == nil {
		t.Error("six bytes were accepted")
	}
	if _, _, err := memscan.Scan(os.Getpid(), []memscan.Pattern{{Name: "x", Bytes: []byte{1}}}); err == nil {
		t.Error("a pattern of one byte was accepted")
	}
}
