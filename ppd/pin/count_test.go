package pin

import (
	"bytes"
	"encoding/csv"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/keposs/keposs/internal/testenv"
)

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// generate builds every string of n characters the rules are meant to refuse,
// from the description of each rule, without asking the rules themselves.
func generate(a Alphabet, n int) map[string]bool {
	set := map[string]bool{}
	chars := "0123456789"
	keep := func(s []byte) {
		d, l := 0, 0
		for _, c := range s {
			if c >= '0' && c <= '9' {
				d++
			} else {
				l++
			}
		}
		if a == Digits || d > 0 && l > 0 {
			set[string(s)] = true
		}
	}
	if a == Mixed {
		chars += letters
	}
	for _, c := range []byte(chars) { // all but one the same
		for _, o := range []byte(chars) {
			for i := range n {
				s := bytes.Repeat([]byte{c}, n)
				s[i] = o
				keep(s)
			}
		}
	}
	var block func(b []byte)
	block = func(b []byte) { // repeated blocks
		if len(b) > 0 {
			keep(bytes.Repeat(b, n)[:n])
		}
		if len(b) < n/2 {
			for _, c := range []byte(chars) {
				block(append(b[:len(b):len(b)], c))
			}
		}
	}
	block(nil)
	if a == Mixed {
		mixedInto(n, keep)
		return set
	}
	for start := range 10 { // sequences
		for _, d := range []int{1, 9} {
			s := make([]byte, n)
			for i := range s {
				s[i] = byte('0' + (start+i*d)%10)
			}
			keep(s)
		}
	}
	datesInto(n, keep)
	var grow func(s []byte, next func(s []byte) [][]byte)
	grow = func(s []byte, next func([]byte) [][]byte) {
		if len(s) == n {
			keep(s)
			return
		}
		for _, t := range next(s) {
			if len(s)+len(t) <= n {
				grow(append(s[:len(s):len(s)], t...), next)
			}
		}
	}
	grow(nil, func(s []byte) (out [][]byte) {
		from := "0123456789"
		if len(s) > 0 {
			from = beside[s[len(s)-1]]
		}
		for _, c := range []byte(from) {
			out = append(out, []byte{c})
		}
		return out
	})
	grow(nil, func(s []byte) (out [][]byte) {
		for _, c := range []byte("1379") {
			if len(s) == 0 || s[len(s)-1] != c {
				out = append(out, []byte{c})
			}
		}
		return out
	})
	// Lines of the pad, written down by hand: rows, columns, diagonals, those
	// through 0, both ways.
	var ls [][]byte
	for _, l := range []string{"123", "456", "789", "147", "258", "369", "159", "357", "580", "2580"} {
		r := []byte(l)
		for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
			r[i], r[j] = r[j], r[i]
		}
		ls = append(ls, []byte(l), r)
	}
	// The 0 stands below 8: diagonals 4-8 and 6-8 do not reach it, 7-0 and 9-0 do not go on.
	grow(nil, func([]byte) [][]byte { return ls })
	return set
}

func datesInto(n int, keep func([]byte)) {
	two := func(v int) string { return string([]byte{byte('0' + v/10%10), byte('0' + v%10)}) }
	length := [...]int{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
	for y := 1900; y <= 2099; y++ {
		yyyy, yy := strconv.Itoa(y), two(y%100)
		plausible := y <= 2049
		if n == 4 && plausible {
			keep([]byte(yyyy))
		}
		for m := 1; m <= 12; m++ {
			mm := two(m)
			if n == 6 && plausible {
				keep([]byte(yyyy + mm))
				keep([]byte(mm + yyyy))
			}
			for d := 1; d <= length[m-1]; d++ {
				leap := y%4 == 0 && y != 1900
				if n != 4 && m == 2 && d == 29 && !leap {
					continue
				}
				dd := two(d)
				switch {
				case n == 4:
					keep([]byte(dd + mm))
					keep([]byte(mm + dd))
				case n == 6:
					keep([]byte(dd + mm + yy))
					keep([]byte(mm + dd + yy))
					keep([]byte(yy + mm + dd))
				case n == 8 && plausible:
					keep([]byte(dd + mm + yyyy))
					keep([]byte(mm + dd + yyyy))
					keep([]byte(yyyy + mm + dd))
				}
			}
		}
	}
}

// mixedInto interleaves every letter run with every digit run.
func mixedInto(n int, keep func([]byte)) {
	for nl := 1; nl < n; nl++ {
		runs := map[string]bool{}
		for start := range 26 {
			for _, d := range []int{0, 1, 25} {
				s := make([]byte, nl)
				for i := range s {
					s[i] = byte('a' + (start+i*d)%26)
				}
				runs[string(s)] = true
			}
		}
		for _, row := range []string{"qwertyuiop", "poiuytrewq", "asdfghjkl", "lkjhgfdsa", "zxcvbnm", "mnbvcxz"} {
			for i := 0; i+nl <= len(row); i++ {
				runs[row[i:i+nl]] = true
			}
		}
		nd := n - nl
		digits := map[string]bool{}
		for start := range 10 {
			for _, d := range []int{0, 1, 9} {
				s := make([]byte, nd)
				for i := range s {
					s[i] = byte('0' + (start+i*d)%10)
				}
				digits[string(s)] = true
			}
		}
		for r := range runs {
			for upper := range 1 << nl {
				l := []byte(r)
				for i := range l {
					if upper>>i&1 == 1 {
						l[i] -= 'a' - 'A'
					}
				}
				for d := range digits {
					for mask := range 1 << n { // which places hold letters
						s := make([]byte, 0, n)
						i, j := 0, 0
						for k := range n {
							if mask>>k&1 == 1 && i < nl {
								s = append(s, l[i])
								i++
							} else if mask>>k&1 == 0 && j < nd {
								s = append(s, d[j])
								j++
							}
						}
						if len(s) == n {
							keep(s)
						}
					}
				}
			}
		}
	}
}

// What is generated from the rules' descriptions is what the rules refuse and
// as many as the table says.
// req: G-7.4-04
func TestRefusedCounts(t *testing.T) {
	for a, table := range refused {
		for n, want := range table {
			if n == 8 && testing.Short() {
				continue
			}
			set := generate(a, n)
			if float64(len(set)) != want {
				t.Errorf("alphabet %d, %d characters: %d refused, table says %.0f", a, n, len(set), want)
			}
			for s := range set {
				if weak([]byte(s), a) == "" {
					t.Fatalf("alphabet %d: %q is described as weak and passes", a, s)
				}
			}
		}
	}
}

// Every string of the short lengths, one by one: the rules refuse no more than
// what their descriptions say.
func TestRefusedByEnumeration(t *testing.T) {
	longest := 6
	if testenv.Level() > 0 {
		longest = 7
	}
	for n := 4; n <= longest; n++ {
		count := 0.0
		s := bytes.Repeat([]byte{'0'}, n)
		for {
			if weak(s, Digits) != "" {
				count++
			}
			i := n - 1
			for ; i >= 0 && s[i] == '9'; i-- {
				s[i] = '0'
			}
			if i < 0 {
				break
			}
			s[i]++
		}
		if count != refused[Digits][n] {
			t.Errorf("%d digits: %.0f refused of all, table says %.0f", n, count, refused[Digits][n])
		}
	}
}

// Past the table the rules cannot move the figure by a millibit: log2 of all
// strings and of all less an upper bound of every rule's share agree.
func TestBeyondTheTable(t *testing.T) {
	for a, first := range map[Alphabet]int{Digits: 9, Mixed: 6} {
		for n := first; n <= MaxLength; n++ {
			if hi, lo := millibits(all(a, n)), millibits(all(a, n)-refusedAtMost(a, n)); hi != lo {
				t.Errorf("alphabet %d, %d characters: between %d and %d millibits", a, n, lo, hi)
			}
		}
	}
}

// refusedAtMost adds the rules up as if no PIN broke two of them.
func refusedAtMost(a Alphabet, n int) float64 {
	size := map[Alphabet]float64{Digits: 10, Mixed: 62}[a]
	sum := float64(n)*size*(size-1) + size // nearly the same
	for b := 1; b <= n/2; b++ {
		sum += math.Pow(size, float64(b))
	}
	if a == Digits {
		return sum + 20 + // sequences
			walks(n) +
			4*math.Pow(3, float64(n-1)) + // corners
			math.Pow(20, math.Ceil(float64(n)/3)) // lines: at most 20 to choose from for each three keys
	}
	for nl := 1; nl < n; nl++ { // runs: places × letters × case × digits
		sum += binomial(n, nl) * (26*3 + 2*26) * math.Pow(2, float64(nl)) * 30
	}
	return sum
}

// beside tells the keys next to each key of the phone pad.
var beside = map[byte]string{'1': "24", '2': "135", '3': "26", '4': "157", '5': "2468", '6': "359", '7': "48", '8': "5790", '9': "68", '0': "8"}

// walks counts the walks of n keys.
func walks(n int) (sum float64) {
	at := map[byte]float64{}
	for c := range beside {
		at[c] = 1
	}
	for range n - 1 {
		next := map[byte]float64{}
		for c, k := range at {
			for _, d := range []byte(beside[c]) {
				next[d] += k
			}
		}
		at = next
	}
	for _, k := range at {
		sum += k
	}
	return sum
}

func binomial(n, k int) float64 {
	r := 1.0
	for i := range k {
		r = r * float64(n-i) / float64(i+1)
	}
	return r
}

// The best guess at a 4-digit PIN, measured.
// req: G-7.4-04
func TestRockYouBestGuess(t *testing.T) {
	f, err := os.Open(testenv.Data(t, "pins", "rockyou-4-digit-counts.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	total, left, top := 0, 0, 0
	for _, r := range rows {
		c, err := strconv.Atoi(r[1])
		if err != nil {
			t.Fatalf("row %v: %v", r, err)
		}
		total += c
		if weak([]byte(r[0]), Digits) == "" {
			left += c
			top = max(top, c)
		}
	}
	if total != 1780587 || len(rows) != 10000 {
		t.Errorf("%d rows with %d sequences, want 10000 with 1780587", len(rows), total)
	}
	if left != rockYouLeft || top != rockYouTop {
		t.Errorf("the rules leave %d with a top of %d, constants say %d and %d", left, top, rockYouLeft, rockYouTop)
	}
}
