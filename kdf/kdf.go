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
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf/pbkdf2sm3"
	"github.com/keposs/keposs/kdf/sm2kdf"
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
}

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

// Builtin returns the built-in KDF of that name; NotFound otherwise.
func Builtin(name string) (core.KDF, error) {
	e, err := find(name)
	if err != nil {
		return nil, err
	}
	return e.make(), nil
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
