package fuzzy

import "testing"

// Dimensions 127 − deg g of all primitive codes of length 127 (Lin and
// Costello, table 6.1), and the generator that the table's octal 211, 41567 and
// 11554743 stand for.
func TestGenerator(t *testing.T) {
	for tt, k := range map[int]int{1: 120, 2: 113, 3: 106, 4: 99, 5: 92, 6: 85, 7: 78, 9: 71, 10: 64, 11: 57, 13: 50, 14: 43, 15: 36, 21: 29, 23: 22, 27: 15, 31: 8} {
		if got := 127 - generator(tt).degree(); got != k {
			t.Errorf("t=%d: k=%d, want %d", tt, got, k)
		}
	}
	for tt, octal := range map[int]uint64{1: 0o211, 2: 0o41567, 3: 0o11554743, 4: 0o3447023271} {
		if g := generator(tt); g != (poly{octal}) {
			t.Errorf("t=%d: generator %o, the table has %o", tt, g[0], octal)
		}
	}
}
