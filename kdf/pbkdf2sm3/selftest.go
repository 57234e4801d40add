package pbkdf2sm3

import (
	"context"
	"sync"

	"github.com/keposs/keposs/core/sm"
)

// katOne is PBKDF2-HMAC-SM3("passw0rd", "0123456789abcdef", 1024, 32) and
// katWide the SM3 of the first 16 blocks, as many as the widest lanes take at
// once; both from OpenSSL 3.
const (
	katOne  = "231860fbe90841e4759b50be9f22be6baed6b6d920966aad437e33e972435d41"
	katWide = "63570d0074512f60dac4dbff6029efd94f006e17ab172079bc4bfe0610624f23"
)

// SelfTest is the known answer of this package's own SM3: one block alone, and
// 16 side by side.
// req: K-16-05, G-7.10-04
func SelfTest() sm.KAT {
	return sm.KnownAnswer("pbkdf2sm3", katOne+katWide, func() ([]byte, error) {
		one, wide := make([]byte, 32), make([]byte, 32*16)
		for _, out := range [][]byte{one, wide} {
			if err := Key(context.Background(), []byte("passw0rd"), []byte("0123456789abcdef"), 1024, out); err != nil {
				return nil, err
			}
		}
		sum := sm.SM3(wide)
		return append(one, sum[:]...), nil
	})
}

// tested runs SelfTest once a process, before the first derivation.
var tested = sync.OnceValue(func() error { return SelfTest().Run() })
