package pin

import "bytes"

// A weakness says which rule a PIN breaks, in words that tell nothing else
// about it. "" = none.
type weakness string

const (
	weakOrder   weakness = "in order"
	weakSame    weakness = "all or nearly all the same"
	weakBlock   weakness = "one block repeated"
	weakDate    weakness = "a date"
	weakLine    weakness = "lines on the keypad"
	weakWalk    weakness = "a walk from key to neighbouring key"
	weakCorners weakness = "the corners of the keypad"
	weakRuns    weakness = "letters in order and digits in order"
)

// digitRules are asked in this order; the first that holds is told.
var digitRules = []struct {
	why weakness
	is  func([]byte) bool
}{
	{weakSame, nearlySame}, {weakOrder, inOrder}, {weakBlock, repeated}, {weakDate, isDate},
	{weakLine, lines}, {weakWalk, walk}, {weakCorners, corners},
}

var mixedRules = []struct {
	why weakness
	is  func([]byte) bool
}{
	{weakSame, nearlySame}, {weakBlock, repeated}, {weakRuns, mixedRuns},
}

// weak tells which rule p breaks. Every rule is computed from p alone. It runs
// at enrolment only, before the person, never against a stored value, so its
// time need not be constant.
func weak(p []byte, a Alphabet) weakness {
	rules := digitRules
	if a == Mixed {
		rules = mixedRules
	}
	for _, r := range rules {
		if r.is(p) {
			return r.why
		}
	}
	return ""
}

// inOrder: each digit is the one before plus one, or minus one, modulo ten
// (9 → 0 is how keypads and number rows go on).
func inOrder(p []byte) bool { return steady(p, 1) || steady(p, 9) }

func steady(p []byte, d int) bool {
	for i := 1; i < len(p); i++ {
		if (int(p[i])-int(p[i-1])+10)%10 != d {
			return false
		}
	}
	return true
}

// nearlySame: all characters, or all but one, are the same.
func nearlySame(p []byte) bool {
	for _, c := range p[:2] {
		if bytes.Count(p, []byte{c}) >= len(p)-1 {
			return true
		}
	}
	return len(p) > 2 && bytes.Count(p, p[2:3]) >= len(p)-1
}

// repeated: a block of at most half the length repeats to the end; the last
// repetition may be cut short (12312312).
func repeated(p []byte) bool {
	for b := 1; b <= len(p)/2; b++ {
		if bytes.Equal(p[b:], p[:len(p)-b]) {
			return true
		}
	}
	return false
}

// Plausible years: people use birthdays, anniversaries and the next few years.
const firstYear, lastYear = 1900, 2049

// isDate: a day of the calendar in the usual orders. Four digits: DDMM, MMDD,
// YYYY. Six: DDMMYY, MMDDYY, YYMMDD, YYYYMM, MMYYYY. Eight: DDMMYYYY,
// MMDDYYYY, YYYYMMDD. A two-digit year may be any; 29 February counts where a
// year of that ending had it.
func isDate(p []byte) bool {
	n := func(i, k int) (v int) {
		for _, c := range p[i : i+k] {
			v = 10*v + int(c-'0')
		}
		return v
	}
	plausible := func(y int) bool { return y >= firstYear && y <= lastYear }
	month := func(m int) bool { return m >= 1 && m <= 12 }
	short := func(y, m, d int) bool { return day(1900+y, m, d) || day(2000+y, m, d) }
	long := func(y, m, d int) bool { return plausible(y) && day(y, m, d) }
	switch len(p) {
	case 4:
		a, b := n(0, 2), n(2, 2)
		return plausible(n(0, 4)) || day(2000, a, b) || day(2000, b, a)
	case 6:
		a, b, c := n(0, 2), n(2, 2), n(4, 2)
		return short(c, b, a) || short(c, a, b) || short(a, b, c) ||
			plausible(n(0, 4)) && month(c) || plausible(n(2, 4)) && month(a)
	case 8:
		return long(n(4, 4), n(2, 2), n(0, 2)) || long(n(4, 4), n(0, 2), n(2, 2)) || long(n(0, 4), n(4, 2), n(6, 2))
	}
	return false
}

// day reports whether the Gregorian calendar has it.
func day(y, m, d int) bool {
	if m < 1 || m > 12 || d < 1 {
		return false
	}
	days := [...]int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}[m-1]
	if m == 2 && y%4 == 0 && (y%100 != 0 || y%400 == 0) {
		days++
	}
	return d <= days
}

// key is where a digit stands on the phone pad: 1 2 3 / 4 5 6 / 7 8 9 / 0
// under the 8.
func key(c byte) (x, y int) {
	if c == '0' {
		return 1, 3
	}
	return int(c-'1') % 3, int(c-'1') / 3
}

// line: three or four keys in one straight line, each the neighbour of the one
// before (rows, columns, diagonals, both ways).
func line(p []byte) bool {
	x0, y0 := key(p[0])
	x1, y1 := key(p[1])
	dx, dy := x1-x0, y1-y0
	if dx < -1 || dx > 1 || dy < -1 || dy > 1 || dx == 0 && dy == 0 {
		return false
	}
	for i := 2; i < len(p); i++ {
		a, b := key(p[i-1])
		x, y := key(p[i])
		if x-a != dx || y-b != dy {
			return false
		}
	}
	return true
}

// lines: p is made of nothing but lines of three or four keys.
func lines(p []byte) bool {
	done := make([]bool, len(p)+1)
	done[0] = true
	for i := range p {
		for _, k := range []int{3, 4} {
			if done[i] && i+k <= len(p) && line(p[i:i+k]) {
				done[i+k] = true
			}
		}
	}
	return done[len(p)]
}

// walk: every key is the one beside, above or below the key before.
func walk(p []byte) bool {
	for i := 1; i < len(p); i++ {
		x, y := key(p[i-1])
		u, v := key(p[i])
		if (x-u)*(x-u)+(y-v)*(y-v) != 1 {
			return false
		}
	}
	return true
}

// corners: only 1, 3, 7 and 9, never the same twice running.
func corners(p []byte) bool {
	for i, c := range p {
		if c != '1' && c != '3' && c != '7' && c != '9' || i > 0 && p[i-1] == c {
			return false
		}
	}
	return true
}

// rows of the common Latin keyboard: geometry, as the phone pad's is.
var keyRows = [...]string{"qwertyuiop", "asdfghjkl", "zxcvbnm"}

// mixedRuns: taken by themselves, the letters are in order (or all the same,
// or neighbours on a keyboard row) and so are the digits: abc123, a1b2c3.
func mixedRuns(p []byte) bool {
	var l, d [MaxLength]byte // fixed arrays: no copy is left to the collector
	defer func() { clear(l[:]); clear(d[:]) }()
	nl, nd := 0, 0
	for _, c := range p {
		if isLetter(c) {
			l[nl] = c | 0x20
			nl++
		} else {
			d[nd] = c
			nd++
		}
	}
	return lettersRun(l[:nl]) && (steady(d[:nd], 0) || inOrder(d[:nd]))
}

// lettersRun takes lower-case letters.
func lettersRun(l []byte) bool {
	for _, d := range []int{0, 1, 25} {
		ok := true
		for i := 1; i < len(l); i++ {
			ok = ok && (int(l[i])-int(l[i-1])+26)%26 == d
		}
		if ok {
			return true
		}
	}
	for _, row := range keyRows {
		for _, d := range []int{1, -1} {
			at := bytes.IndexByte([]byte(row), l[0])
			ok := at >= 0
			for i := 1; ok && i < len(l); i++ {
				at += d
				ok = at >= 0 && at < len(row) && row[at] == l[i]
			}
			if ok {
				return true
			}
		}
	}
	return false
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
