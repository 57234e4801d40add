package kdftest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
)

var residues = []Case{{
	Name: "NoCopyOfTheSecret", Group: "G", Level: 1,
	Rule:   "After Derive the process holds no copy of the secret but the caller's, nor of the derived key.",
	Advice: "wipe every buffer before it is let go, also the padded keys of HMAC",
	Run: func(ctx context.Context, h Harness) error {
		if !h.InProcess || !h.Wipes || runtime.GOOS != "linux" {
			return Skip("only on Linux for a value of this process that promises to wipe")
		}
		k, err := h.New()
		if err != nil {
			return err
		}
		secret := make([]byte, 24)
		if _, err := rand.Read(secret); err != nil {
			return err
		}
		pad := bytes.Clone(secret)
		for i := range pad {
			pad[i] ^= 0x36
		}
		out := make([]byte, 32)
		defer func() {
			clear(secret)
			clear(pad)
			clear(out)
		}()
		if err := k.Derive(ctx, h.Cheap, secret, salt, out); err != nil {
			return err
		}
		for what, needle := range map[string][]byte{"secret": secret, "key": out, "padded secret": pad} {
			// The caller's own copy is the one that is allowed; it is hidden
			// under a mask while memory is read.
			for i := range needle {
				needle[i] ^= 0x5a
			}
			n, err := count(needle, 0x5a)
			for i := range needle {
				needle[i] ^= 0x5a
			}
			if err != nil {
				return err
			}
			if n > 0 {
				return fmt.Errorf("%d copies of the %s in memory", n, what)
			}
		}
		return nil
	},
}}

// count finds masked ^ mask in this process's memory without holding it.
func count(masked []byte, mask byte) (int, error) {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return 0, Skip("cannot read /proc/self/maps")
	}
	defer maps.Close()
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		return 0, Skip("cannot read /proc/self/mem")
	}
	defer mem.Close()
	buf := make([]byte, 1<<20)
	defer clear(buf)
	n := 0
	for s := bufio.NewScanner(maps); s.Scan(); {
		var lo, hi int64
		if _, err := fmt.Sscanf(s.Text(), "%x-%x", &lo, &hi); err != nil || !strings.Contains(s.Text(), " rw") {
			continue
		}
		for at := lo; at < hi; at += int64(len(buf) - len(masked)) {
			k, err := mem.ReadAt(buf[:min(int64(len(buf)), hi-at)], at)
			if err != nil && err != io.EOF && k == 0 {
				break
			}
			for i := 0; i+len(masked) <= k; i++ {
				j := 0
				for j < len(masked) && buf[i+j] == masked[j]^mask {
					j++
				}
				if j == len(masked) {
					n++
				}
			}
			clear(buf) // else the next read of this very buffer finds its own copy
		}
	}
	return n, nil
}
