package rule_test

import (
	"bytes"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/rule"
)

func TestDecide(t *testing.T) {
	id := func(b byte) core.ReqID { return core.ReqID{b} }
	blob := func(s string) func() ([]byte, error) {
		return func() ([]byte, error) { return []byte(s), nil }
	}
	live := rule.State{Version: 5, ReqID: id(1), Hot: []byte("h"), Blob: blob("b")}
	dead := rule.State{Version: 6, Deleted: true, ReqID: id(2)}
	for _, c := range []struct {
		name    string
		s       rule.State
		m       core.Mutation
		version core.Version
		write   bool
		code    core.Code
		current core.Version
	}{
		{"create", rule.State{}, core.Mutation{Op: core.OpPut}, 1, true, 0, 0},
		{"create on present", live, core.Mutation{Op: core.OpPut}, 0, false, core.Conflict, 5},
		{"create after delete", dead, core.Mutation{Op: core.OpPut}, 7, true, 0, 0},
		{"put", live, core.Mutation{Op: core.OpPut, Expect: 5}, 6, true, 0, 0},
		{"put old", live, core.Mutation{Op: core.OpPut, Expect: 4}, 0, false, core.Conflict, 5},
		{"put new", live, core.Mutation{Op: core.OpPut, Expect: 6}, 0, false, core.Conflict, 5},
		{"put on absent", rule.State{}, core.Mutation{Op: core.OpPut, Expect: 1}, 0, false, core.NotFound, 0},
		{"put-hot on deleted", dead, core.Mutation{Op: core.OpPutHot, Expect: 6}, 0, false, core.NotFound, 6},
		{"delete", live, core.Mutation{Op: core.OpDelete, Expect: 5}, 6, true, 0, 0},
		{"delete twice", dead, core.Mutation{Op: core.OpDelete, Expect: 5}, 0, false, core.NotFound, 6},
		{"repeat put", live, core.Mutation{Op: core.OpPut, Expect: 4, ReqID: id(1), Hot: []byte("h"), Blob: []byte("b")}, 5, false, 0, 0},
		{"repeat create", live, core.Mutation{Op: core.OpPut, ReqID: id(1), Hot: []byte("h"), Blob: []byte("b")}, 5, false, 0, 0},
		{"repeat put-hot", live, core.Mutation{Op: core.OpPutHot, Expect: 4, ReqID: id(1), Hot: []byte("h")}, 5, false, 0, 0},
		{"repeat delete", dead, core.Mutation{Op: core.OpDelete, Expect: 5, ReqID: id(2)}, 6, false, 0, 0},
		{"repeat, other hot", live, core.Mutation{Op: core.OpPutHot, Expect: 4, ReqID: id(1), Hot: []byte("x")}, 0, false, core.Invalid, 0},
		{"repeat, other blob", live, core.Mutation{Op: core.OpPut, Expect: 4, ReqID: id(1), Hot: []byte("h"), Blob: []byte("x")}, 0, false, core.Invalid, 0},
		{"repeat, other expect", live, core.Mutation{Op: core.OpPutHot, Expect: 3, ReqID: id(1), Hot: []byte("h")}, 0, false, core.Invalid, 0},
		{"repeat, other op", live, core.Mutation{Op: core.OpDelete, Expect: 4, ReqID: id(1)}, 0, false, core.Invalid, 0},
		{"versions used up", rule.State{Version: rule.MaxVersion}, core.Mutation{Op: core.OpPutHot, Expect: rule.MaxVersion}, 0, false, core.Exhausted, 0},
	} {
		res, write := rule.Decide(c.s, c.m)
		if res.Version != c.version || write != c.write || core.CodeOf(res.Err) != c.code {
			t.Errorf("%s: version %d write %t err %v, want %d %t %s", c.name, res.Version, write, res.Err, c.version, c.write, c.code)
		}
		if e, ok := res.Err.(*core.Error); ok && e.Current != c.current {
			t.Errorf("%s: current %d, want %d", c.name, e.Current, c.current)
		}
	}
}

func TestBounds(t *testing.T) {
	for _, c := range []struct {
		name string
		m    core.Mutation
		code core.Code
	}{
		{"smallest", core.Mutation{Key: core.Key{0}, Op: core.OpPut}, 0},
		{"largest", core.Mutation{Key: make(core.Key, core.MaxKey), Op: core.OpPut, Hot: make([]byte, core.MaxHot), Blob: make([]byte, core.MaxBlob)}, 0},
		{"no key", core.Mutation{Op: core.OpPut}, core.Invalid},
		{"long key", core.Mutation{Key: make(core.Key, core.MaxKey+1), Op: core.OpPut}, core.TooLarge},
		{"long hot", core.Mutation{Key: core.Key{0}, Op: core.OpPut, Hot: make([]byte, core.MaxHot+1)}, core.TooLarge},
		{"long blob", core.Mutation{Key: core.Key{0}, Op: core.OpPut, Blob: make([]byte, core.MaxBlob+1)}, core.TooLarge},
		{"no op", core.Mutation{Key: core.Key{0}}, core.Invalid},
		{"put-hot from nothing", core.Mutation{Key: core.Key{0}, Op: core.OpPutHot}, core.Invalid},
		{"put-hot with blob", core.Mutation{Key: core.Key{0}, Op: core.OpPutHot, Expect: 1, Blob: []byte{1}}, core.Invalid},
		{"delete with hot", core.Mutation{Key: core.Key{0}, Op: core.OpDelete, Expect: 1, Hot: []byte{1}}, core.Invalid},
	} {
		if err := rule.Check(c.m); core.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", c.name, err, c.code)
		}
	}
	if err := rule.CheckKeys("t", make([]core.Key, core.MaxBatch+1)); core.CodeOf(err) != core.TooLarge {
		t.Errorf("long batch: %v", err)
	}
	if err := rule.CheckImport([]core.Record{{Key: core.Key{1}, Version: 1, Hot: bytes.Repeat([]byte{1}, 3)}}, []bool{true}); core.CodeOf(err) != core.Invalid {
		t.Errorf("tombstone with content: %v", err)
	}
}
