package lab

import (
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf/argon2id"
	"github.com/keposs/keposs/kdf/balloonsm3"
	"github.com/keposs/keposs/kdf/hkdfsm3"
	"github.com/keposs/keposs/kdf/hybrid"
	"github.com/keposs/keposs/kdf/pbkdf2sm3"
	"github.com/keposs/keposs/kdf/scrypt"
	"github.com/keposs/keposs/kdf/sm2kdf"
	"github.com/keposs/keposs/kdf/sm3crypt"
)

// workOf counts what one guess asks of hardware that is not here: SM3
// compressions and bytes of memory moved. It is a lower bound on time from the
// one resource counted; bcrypt has no model.
func workOf(p core.Params) Work {
	get := func(key string) float64 {
		n, _ := p.Get(key)
		return float64(n)
	}
	switch p.Name {
	case pbkdf2sm3.Name:
		return Work{SM3: 2*get("i")*max(1, get("w")) + 4}
	case sm2kdf.Name:
		return Work{SM3: 1}
	case hkdfsm3.Name:
		return Work{SM3: 6}
	case hybrid.Name:
		return Work{SM3: 2*get("i") + 4, Traffic: argonTraffic(get("m"), get("t"))}
	case argon2id.Name:
		return Work{Traffic: argonTraffic(get("m"), get("t"))}
	case scrypt.Name: // N blocks of 128·r bytes written, then read at places the data name
		n, _ := p.Get("ln")
		return Work{Traffic: 2 * 128 * get("r") * float64(uint64(1)<<(n&63)) * get("p")}
	case balloonsm3.Name: // places are computed once for all guesses: 8 of 17 compressions of a step are left
		return Work{SM3: get("s") * (1 + 8*get("t")), Traffic: 32 * get("s") * (1 + 6*get("t"))}
	case sm3crypt.Name: // one message a round, of one block for a 6-digit PIN but for a few
		return Work{SM3: 1.1 * get("r")}
	}
	return Work{}
}

// argonTraffic: each block of 1 KiB is made of two that are read, and written.
func argonTraffic(kib, passes float64) float64 { return 3 * 1024 * kib * passes }

// scaled returns cheaper parameters of the same KDF and how many times cheaper
// they are, where cost grows in proportion: an attacker's rate is measured on
// those and divided, so that a cell takes seconds and not minutes.
func scaled(p core.Params) (core.Params, float64) {
	shrink := func(key string, to uint64) (core.Params, float64) {
		n, _ := p.Get(key)
		if n <= to {
			return p, 1
		}
		q := core.Params{Name: p.Name}
		for _, v := range p.Values {
			if v.Key == key {
				v.N = to
			}
			q.Values = append(q.Values, v)
		}
		return q, float64(n) / float64(to)
	}
	switch p.Name {
	case pbkdf2sm3.Name:
		return shrink("i", 10_000)
	case sm3crypt.Name:
		return shrink("r", 20_000)
	}
	return p, 1
}
