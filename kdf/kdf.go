// Package kdf is the list of the key derivations built into keposs. Nothing
// registers itself: Builtin names them all, and a third party that adds its
// own writes its own list or ships a plugin.
//
// Three policies group them. "approved": built from approved functions only
// (pbkdf2sm3 plain and wide, sm2kdf, hkdfsm3). "hybrid": an approved and a
// memory-hard derivation joined, never weaker than the approved part.
// "study": everything, marked non-approved.
package kdf

import (
	"runtime"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf/argon2id"
	"github.com/keposs/keposs/kdf/balloonsm3"
	"github.com/keposs/keposs/kdf/bcrypt"
	"github.com/keposs/keposs/kdf/budget"
	"github.com/keposs/keposs/kdf/hkdfsm3"
	"github.com/keposs/keposs/kdf/hybrid"
	"github.com/keposs/keposs/kdf/pbkdf2sm3"
	"github.com/keposs/keposs/kdf/scrypt"
	"github.com/keposs/keposs/kdf/sm2kdf"
	"github.com/keposs/keposs/kdf/sm3crypt"
)

// Default is the name of the KDF a new policy uses.
const Default = pbkdf2sm3.Name

type entry struct {
	name   string
	make   func() core.KDF
	limits func() core.Limits
}

var builtin = []entry{
	{pbkdf2sm3.Name, func() core.KDF { return pbkdf2sm3.New() }, pbkdf2sm3.DefaultLimits},
	{sm2kdf.Name, func() core.KDF { return sm2kdf.New() }, nil},
	{hkdfsm3.Name, func() core.KDF { return hkdfsm3.New() }, nil},
	{hybrid.Name, func() core.KDF { return hybrid.New() }, hybrid.DefaultLimits},
	{argon2id.Name, func() core.KDF { return argon2id.New() }, argon2id.DefaultLimits},
	{scrypt.Name, func() core.KDF { return scrypt.New() }, scrypt.DefaultLimits},
	{bcrypt.Name, func() core.KDF { return bcrypt.New() }, bcrypt.DefaultLimits},
	{balloonsm3.Name, func() core.KDF { return balloonsm3.New() }, balloonsm3.DefaultLimits},
	{sm3crypt.Name, func() core.KDF { return sm3crypt.New() }, sm3crypt.DefaultLimits},
}

// DefaultMemory is what all derivations of the process may hold together.
const DefaultMemory = 1 << 30

// shared is the process's one budget: who asks twice for a KDF does not get
// twice the memory.
var shared = budget.New(DefaultMemory, 2*runtime.GOMAXPROCS(0))

// Names lists the built-in KDFs, the default first.
func Names() []string {
	out := make([]string, len(builtin))
	for i, e := range builtin {
		out[i] = e.name
	}
	return out
}

func find(name string) (entry, error) {
	for _, e := range builtin {
		if e.name == name {
			return e, nil
		}
	}
	return entry{}, core.Errorf(core.NotFound, "kdf", "no built-in kdf %.32q: `keposs kdf list` names them", name)
}

// Builtin returns the built-in KDF of that name, within the process's budget of
// DefaultMemory and two derivations per processor; NotFound otherwise.
func Builtin(name string) (core.KDF, error) {
	e, err := find(name)
	if err != nil {
		return nil, err
	}
	return budget.Wrap(e.make(), shared), nil
}

// DefaultLimits returns the default local policy of a built-in KDF: floors
// under which keposs refuses a stored cost and ceilings over it. NotFound
// otherwise.
func DefaultLimits(name string) (core.Limits, error) {
	e, err := find(name)
	if err != nil || e.limits == nil {
		return core.Limits{}, err
	}
	return e.limits(), nil
}
