//go:build linux

// Package memscan looks for secrets in the memory of another process, through
// /proc/PID/mem (TK-01). Tests use it to show that a wiped secret is gone.
//
// The process that is looked at is a child of the one that looks: a process
// that searched itself would find its own search patterns, and the kernel lets
// a parent read its children under the usual ptrace scope. The child must get
// the secret in a form that is no form searched for; Mask gives one.
package memscan

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// minNeedle is the shortest run of bytes worth looking for: chance finds 8
// random bytes in a gigabyte once in 10^10 scans.
const minNeedle = 8

// Pattern is one form of one secret.
type Pattern struct {
	Name  string // the secret's name and the form, "d/be"
	Bytes []byte
}

// Forms returns the forms a secret can take in memory: as it is (be); bytes
// reversed, which is how four little-endian limbs stand on amd64 and arm64
// (le); every 8 and every 4 bytes reversed in place, limbs stored highest first
// (be64, be32); hex in both cases, base64 with both alphabets. Of secrets of 32
// bytes and more every 16-byte half of a binary form is a pattern of its own,
// so that a partial copy is found too. Secrets under 8 bytes are refused.
func Forms(name string, secret []byte) ([]Pattern, error) {
	if len(secret) < minNeedle {
		return nil, fmt.Errorf("memscan: %s: %d bytes cannot be told from chance, want at least %d", name, len(secret), minNeedle)
	}
	var out []Pattern
	binary := map[string][]byte{"be": slices.Clone(secret), "le": groups(secret, len(secret))}
	for _, n := range []int{8, 4} {
		if len(secret)%n == 0 && len(secret) > n {
			binary["be"+strconv.Itoa(8*n)] = groups(secret, n)
		}
	}
	for _, form := range []string{"be", "le", "be64", "be32"} {
		b, ok := binary[form]
		if !ok {
			continue
		}
		if len(b) < 32 {
			out = append(out, Pattern{name + "/" + form, b})
			continue
		}
		for i := 0; i+16 <= len(b); i += 16 {
			out = append(out, Pattern{fmt.Sprintf("%s/%s[%d:]", name, form, i), b[i : i+16]})
		}
	}
	h := hex.EncodeToString(secret)
	out = append(out, Pattern{name + "/hex", []byte(h)})
	if up := strings.ToUpper(h); up != h {
		out = append(out, Pattern{name + "/HEX", []byte(up)})
	}
	std, url := base64.RawStdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret)
	out = append(out, Pattern{name + "/base64", []byte(std)})
	if url != std {
		out = append(out, Pattern{name + "/base64url", []byte(url)})
	}
	return out, nil
}

// groups reverses the bytes within each group of n.
func groups(b []byte, n int) []byte {
	out := slices.Clone(b)
	for i := 0; i < len(out); i += n {
		slices.Reverse(out[i : i+n])
	}
	return out
}

// Mask changes every byte of b in place, and back: what a parent sends its
// child, and what the child undoes straight into the buffer it will wipe.
func Mask(b []byte) {
	for i := range b {
		b[i] ^= 0xa5 ^ byte(i*0x3b)
	}
}

// Find is one place where a pattern stands.
type Find struct {
	Pattern string
	Address uint64
	Mapping string // the line of /proc/PID/maps
}

// String gives pattern, address and mapping: never the bytes.
func (f Find) String() string { return fmt.Sprintf("%s at %#x in %s", f.Pattern, f.Address, f.Mapping) }

// window is how much is read at a time.
const window = 1 << 20

// Scan looks for the patterns in every readable mapping of process pid and
// returns all finds and the number of bytes read. Mappings of the kernel's own
// and such as cannot be read (device memory) are passed over. The process
// should be idle: what moves during the scan can be missed.
func Scan(pid int, patterns []Pattern) (finds []Find, scanned uint64, err error) {
	longest := 0
	for _, p := range patterns {
		if len(p.Bytes) < minNeedle || len(p.Bytes) > window/2 {
			return nil, 0, fmt.Errorf("memscan: pattern %s of %d bytes: want %d to %d", p.Name, len(p.Bytes), minNeedle, window/2)
		}
		longest = max(longest, len(p.Bytes))
	}
	dir := "/proc/" + strconv.Itoa(pid)
	maps, err := os.ReadFile(dir + "/maps")
	if err != nil {
		return nil, 0, fmt.Errorf("memscan: %w", err)
	}
	mem, err := os.Open(dir + "/mem")
	if err != nil {
		return nil, 0, fmt.Errorf("memscan: %w", err)
	}
	defer mem.Close()
	buf, m := make([]byte, window+longest), newMatcher(patterns)
	for s := bufio.NewScanner(bytes.NewReader(maps)); s.Scan(); {
		line := s.Text()
		var lo, hi uint64
		var perm string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &lo, &hi, &perm); err != nil {
			return nil, 0, fmt.Errorf("memscan: line of maps: %w", err)
		}
		if perm[0] != 'r' || strings.HasSuffix(line, "[vvar]") || strings.HasSuffix(line, "[vvar_vclock]") || strings.HasSuffix(line, "[vsyscall]") {
			continue
		}
		for at := lo; at < hi; at += window {
			n := min(uint64(window+longest-1), hi-at)
			got, err := mem.ReadAt(buf[:n], int64(at))
			if got == 0 && err != nil && err != io.EOF {
				continue
			}
			scanned += uint64(min(got, window))
			m.in(buf[:got], window, func(p Pattern, i int) { // the overlap belongs to the next window
				finds = append(finds, Find{p.Name, at + uint64(i), line})
			})
		}
	}
	return finds, scanned, nil
}
