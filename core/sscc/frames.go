package sscc

import (
	"bytes"
	"sync"

	"github.com/keposs/keposs/core"
)

// frames keeps the plaintext of sealed records that were opened or made here,
// by key and version, with the sealed bytes themselves. A record is read from
// the backend in every request all the same; only when what was read equals,
// byte for byte, what was verified before, its MAC is not computed again. It
// keeps counters, apps and devices: none of them holds a key.
type frames struct {
	mu sync.RWMutex
	m  map[string]frame
}

type frame struct {
	version       core.Version
	sealed, plain []byte // never changed
}

// maxFrames bounds them, about 1 KiB each; a full store is begun anew.
const maxFrames = 1 << 13

// get returns the plaintext, to be read only.
func (f *frames) get(of kind, r core.Record) ([]byte, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	e, ok := f.m[string(r.Key)]
	if !ok || e.version != r.Version || !bytes.Equal(e.sealed, r.Hot) || e.sealed[1] != byte(of) {
		return nil, false
	}
	return e.plain, true
}

// put takes both slices over.
func (f *frames) put(key core.Key, version core.Version, sealed, plain []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.m == nil || len(f.m) >= maxFrames {
		f.m = map[string]frame{}
	}
	f.m[string(key)] = frame{version, sealed, plain}
}

// openHot is open of r.Hot for those kinds; what it returns is to be read only.
// e, when there is one, counts what is opened.
func (k *keyring) openHot(e *effort, of kind, r core.Record) ([]byte, error) {
	if plain, ok := k.frames.get(of, r); ok {
		return plain, nil
	}
	if e != nil {
		e.opens++
	}
	plain, err := k.open(of, r.Key, uint64(r.Version), r.Hot)
	if err == nil {
		k.frames.put(r.Key, r.Version, bytes.Clone(r.Hot), plain)
	}
	return plain, err
}

func (f *frames) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.m = nil
}
