//go:build keposs_castfail

package sm

import "os"

// inject flips a bit of what the self-test named by KEPOSS_CAST_FAIL computed,
// so that exactly this test fails (TK-04). The build tag exists for tests.
func inject(name string, computed []byte) {
	if name == os.Getenv("KEPOSS_CAST_FAIL") && len(computed) > 0 {
		computed[0] ^= 1
	}
}
