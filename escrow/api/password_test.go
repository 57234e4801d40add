package api

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/grpc/mem"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// A block has one size whatever the password, and reading it wipes it.
func TestPasswordBlock(t *testing.T) {
	for _, n := range []int{0, 1, 10, maxPassword} {
		pw := secret.Copy(bytes.Repeat([]byte{'x'}, n))
		block, err := passwordOut(pw)
		if err != nil || block.Len() != passwordBlock || !mem.IsBelowBufferPoolingThreshold(1024) || mem.IsBelowBufferPoolingThreshold(block.Len()) {
			t.Fatalf("%d bytes: a block of %d, %v", n, block.Len(), err)
		}
		got, err := passwordIn(block.Bytes())
		if err != nil || !got.Equal(pw) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if !bytes.Equal(block.Bytes(), make([]byte, passwordBlock)) {
			t.Errorf("%d bytes: the block was not wiped", n)
		}
	}
	if _, err := passwordOut(secret.New(maxPassword + 1)); !errors.Is(err, core.TooLarge) {
		t.Errorf("too long: %v", err)
	}
}

// Buffers come back to the pool as zeros.
func TestPoolWipes(t *testing.T) {
	p := newPool()
	b := p.Get(3000)
	whole := (*b)[:cap(*b)]
	for i := range whole {
		whole[i] = 7
	}
	p.Put(b)
	if bytes.Contains(whole, []byte{7}) {
		t.Error("a buffer went back unwiped")
	}
}

// What parses marshals back to the same block.
func FuzzPasswordBlock(f *testing.F) {
	block, err := passwordOut(secret.Copy([]byte("correct horse")))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.Clone(block.Bytes()))
	f.Add([]byte{0, 1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		want := bytes.Clone(b)
		pw, err := passwordIn(bytes.Clone(b))
		if err != nil {
			return
		}
		again, err := passwordOut(pw)
		if err != nil || !bytes.Equal(again.Bytes(), want) {
			t.Errorf("%v: another block", err)
		}
	})
}
