package lab

import (
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf/lab/cracker"
)

// must parses parameters written in this package.
func must(texts ...string) []core.Params {
	out := make([]core.Params, len(texts))
	for i, t := range texts {
		p, err := core.ParseParams(t)
		if err != nil {
			panic(err) // a constant of this file, covered by a test
		}
		out[i] = p
	}
	return out
}

// QuickPlan is one cell of each KDF at its default cost, two of the default
// one. The wide form gets the time of the plain one on this build.
func QuickPlan() []core.Params {
	wide := "pbkdf2sm3$i=75000,w=8"
	switch w := cracker.Widths(); w[len(w)-1] {
	case 8:
		wide = "pbkdf2sm3$i=300000,w=8"
	case 16:
		wide = "pbkdf2sm3$i=300000,w=16"
	}
	return must("pbkdf2sm3$i=600000", wide, "sm2kdf$", "hkdfsm3$", "hybrid$i=300000,m=19456,p=1,t=2",
		"argon2id$m=19456,p=1,t=2", "argon2id$m=65536,p=4,t=3", "scrypt$ln=15,p=1,r=8", "bcrypt$c=10",
		"balloonsm3$s=32768,t=1", "sm3crypt$r=5000")
}

// FullPlan is the sweep, coarse cells first: whatever a budget cuts off, what
// was measured covers the range.
func FullPlan() []core.Params {
	plan := append(QuickPlan(), must(
		// the range of every KDF
		"pbkdf2sm3$i=1024", "pbkdf2sm3$i=10000", "pbkdf2sm3$i=100000", "pbkdf2sm3$i=1000000", "pbkdf2sm3$i=2400000",
		"argon2id$m=8192,p=1,t=1", "argon2id$m=65536,p=1,t=1", "argon2id$m=262144,p=1,t=1",
		"scrypt$ln=14,p=1,r=8", "scrypt$ln=16,p=1,r=8", "scrypt$ln=17,p=1,r=8",
		"bcrypt$c=8", "bcrypt$c=12", "balloonsm3$s=16384,t=1", "balloonsm3$s=131072,t=1",
		"sm3crypt$r=100000", "sm3crypt$r=1000000", "hybrid$i=100000,m=19456,p=1,t=1", "hybrid$i=300000,m=65536,p=1,t=1",
		// the wide form: the same blocks in all, more or fewer side by side
		"pbkdf2sm3$i=300000,w=2", "pbkdf2sm3$i=150000,w=4", "pbkdf2sm3$i=37500,w=16", "pbkdf2sm3$i=600000,w=2",
		"pbkdf2sm3$i=600000,w=4", "pbkdf2sm3$i=600000,w=8", "pbkdf2sm3$i=600000,w=16", "pbkdf2sm3$i=150000,w=16",
		// between
		"pbkdf2sm3$i=30000", "pbkdf2sm3$i=300000", "pbkdf2sm3$i=1200000",
		"argon2id$m=8192,p=1,t=3", "argon2id$m=19456,p=1,t=1", "argon2id$m=19456,p=1,t=4", "argon2id$m=32768,p=1,t=1",
		"argon2id$m=32768,p=1,t=3", "argon2id$m=65536,p=1,t=2", "argon2id$m=65536,p=1,t=3", "argon2id$m=131072,p=1,t=1",
		"argon2id$m=131072,p=1,t=3", "argon2id$m=131072,p=4,t=3", "argon2id$m=262144,p=1,t=3", "argon2id$m=262144,p=4,t=1",
		"scrypt$ln=15,p=2,r=8", "scrypt$ln=16,p=2,r=8", "scrypt$ln=15,p=1,r=16", "scrypt$ln=18,p=1,r=8",
		"bcrypt$c=9", "bcrypt$c=11", "bcrypt$c=13",
		"balloonsm3$s=32768,t=2", "balloonsm3$s=32768,t=4", "balloonsm3$s=65536,t=1", "balloonsm3$s=262144,t=1",
		"sm3crypt$r=20000", "sm3crypt$r=300000", "hybrid$i=150000,m=32768,p=1,t=2", "hybrid$i=600000,m=19456,p=1,t=2",
	)...)
	seen := map[string]bool{}
	out := plan[:0]
	for _, p := range plan {
		if !seen[p.String()] {
			seen[p.String()] = true
			out = append(out, p)
		}
	}
	return out
}
