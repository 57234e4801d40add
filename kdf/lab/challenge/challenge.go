// Package challenge writes what outsiders need to attack the laboratory's
// claims with their own tools: derived keys of random PINs as one-line strings,
// the same in the crypt forms existing crackers read, and whole KEPOSS-MF/1
// records with everything but the factor.
//
// The string form, one encoding only:
//
//	$keposs$v=1$NAME$PARAMS$SALT$KEY
//
// NAME and PARAMS are the canonical KDF text cut at its "$"; SALT (8 to 64
// bytes) and KEY (32 bytes) are unpadded standard base64. A guess is right when
// NAME derives KEY from it and SALT.
//
// Nobody keeps the answers unless they were asked for; nothing here protects
// anything.
package challenge

import (
	"context"
	"encoding/base64"
	"strings"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf"
	"github.com/keposs/keposs/kdf/bcrypt"
	"github.com/keposs/keposs/kdf/sm3crypt"
)

// Bounds of the string form, in bytes.
const (
	MinSalt = 8
	MaxSalt = 64
	KeySize = 32
	maxText = 512
	prefix  = "$keposs$v=1$"
)

// A Challenge is one derived key of an unknown factor.
type Challenge struct {
	Params core.Params
	Salt   []byte
	Key    []byte
}

var encoding = base64.RawStdEncoding.Strict()

// String returns the one text of c.
func (c Challenge) String() string {
	return prefix + c.Params.String() + "$" + encoding.EncodeToString(c.Salt) + "$" + encoding.EncodeToString(c.Key)
}

// Parse reads the text and nothing else: any other encoding of the same value
// is Invalid, an unknown KDF NotFound, a cost out of its bounds Invalid or
// TooLarge by name.
func Parse(s string) (Challenge, error) {
	const op = "challenge: parse"
	if len(s) > maxText {
		return Challenge{}, core.Errorf(core.TooLarge, op, "%d bytes, at most %d", len(s), maxText)
	}
	rest, ok := strings.CutPrefix(s, prefix)
	f := strings.Split(rest, "$")
	if !ok || len(f) != 4 {
		return Challenge{}, core.Errorf(core.Invalid, op, "want %sNAME$PARAMS$SALT$KEY", prefix)
	}
	p, err := core.ParseParams(f[0] + "$" + f[1])
	if err != nil {
		return Challenge{}, err
	}
	k, err := kdf.Builtin(p.Name)
	if err != nil {
		return Challenge{}, err
	}
	if err := k.Validate(p, core.Limits{}); err != nil {
		return Challenge{}, err
	}
	c := Challenge{Params: p}
	if c.Salt, err = encoding.DecodeString(f[2]); err != nil || len(c.Salt) < MinSalt || len(c.Salt) > MaxSalt {
		return Challenge{}, core.Errorf(core.Invalid, op, "the salt is no unpadded base64 of %d to %d bytes", MinSalt, MaxSalt)
	}
	if c.Key, err = encoding.DecodeString(f[3]); err != nil || len(c.Key) != KeySize {
		return Challenge{}, core.Errorf(core.Invalid, op, "the key is no unpadded base64 of %d bytes", KeySize)
	}
	if c.String() != s {
		return Challenge{}, core.Errorf(core.Invalid, op, "not the canonical text of its value")
	}
	return c, nil
}

// New derives the key of factor.
func New(ctx context.Context, p core.Params, factor, salt []byte) (Challenge, error) {
	k, err := kdf.Builtin(p.Name)
	if err != nil {
		return Challenge{}, err
	}
	if len(salt) < MinSalt || len(salt) > MaxSalt {
		return Challenge{}, core.Errorf(core.Invalid, "challenge: new", "salt of %d bytes, want %d to %d", len(salt), MinSalt, MaxSalt)
	}
	if err := k.Validate(p, core.Limits{}); err != nil {
		return Challenge{}, err
	}
	c := Challenge{Params: p, Salt: salt, Key: make([]byte, KeySize)}
	return c, k.Derive(ctx, p, factor, salt, c.Key)
}

// Crypt returns the same factor in the crypt(3) form of p's KDF, "" where it
// has none: outside crackers know $2a$ and libxcrypt's $sm3$.
func Crypt(ctx context.Context, p core.Params, factor, salt []byte) (string, error) {
	switch p.Name {
	case sm3crypt.Name:
		r, _ := p.Get("r")
		text := sm3crypt.TextSalt(salt)
		h, err := sm3crypt.Hash(ctx, factor, text, int(r))
		if err != nil {
			return "", err
		}
		return sm3crypt.Text(text, int(r), h), nil
	case bcrypt.Name:
		if len(salt) < 16 {
			return "", core.Errorf(core.Invalid, "challenge: crypt", "salt of %d bytes, bcrypt takes 16", len(salt))
		}
		c, _ := p.Get("c")
		s := [16]byte(salt[:16])
		h, err := bcrypt.Raw(ctx, factor, s, int(c))
		if err != nil {
			return "", err
		}
		return bcrypt.Text(s, int(c), h), nil
	}
	return "", nil
}
