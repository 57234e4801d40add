package api

import (
	"encoding/binary"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// A password travels as a block of one size: u16 length ‖ password ‖ zeros.
// The size hides the length and is above what gRPC leaves unpooled, so that its
// buffers are wiped.
const (
	passwordBlock = 2048
	maxPassword   = 1024
)

// passwordOut makes the block, owned by the caller.
func passwordOut(password *secret.Buffer) (*secret.Buffer, error) {
	if password.Len() > maxPassword {
		return nil, core.Errorf(core.TooLarge, "api: password", "at most %d bytes", maxPassword)
	}
	b := secret.New(passwordBlock)
	binary.BigEndian.PutUint16(b.Bytes(), uint16(password.Len()))
	copy(b.Bytes()[2:], password.Bytes())
	return b, nil
}

// passwordIn reads a block, which it wipes, into a buffer owned by the caller.
func passwordIn(block []byte) (*secret.Buffer, error) {
	defer secret.Zero(block)
	if len(block) != passwordBlock {
		return nil, core.Errorf(core.Invalid, "api: password", "a block of %d bytes, want %d", len(block), passwordBlock)
	}
	n := int(binary.BigEndian.Uint16(block))
	if n > maxPassword {
		return nil, core.Errorf(core.Invalid, "api: password", "malformed block")
	}
	var rest byte
	for _, b := range block[2+n:] {
		rest |= b
	}
	if rest != 0 {
		return nil, core.Errorf(core.Invalid, "api: password", "malformed block")
	}
	return secret.Copy(block[2 : 2+n]), nil
}
