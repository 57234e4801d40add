package badger

import (
	"os"
	"path/filepath"

	"github.com/keposs/keposs/core"
)

func (s *Store) ballastPath() string { return filepath.Join(s.set.dir, "BALLAST") }

// room refuses writes below the watermark. Badger writes through mappings: a
// full file system would kill the process, not fail a call.
func (s *Store) room(op string) error {
	free, ok := freeBytes(s.set.dir)
	if ok && free < uint64(s.set.watermark) {
		return core.Errorf(core.Exhausted, op, "%d MiB free under %s, writes need %d: free space; reading goes on", free>>20, s.set.dir, s.set.watermark>>20)
	}
	return nil
}

// makeRoom gives the ballast back before opening a store on a full disk, where
// Badger could not make the files it opens with.
func (s *Store) makeRoom() {
	if s.room("") != nil {
		_ = os.Remove(s.ballastPath())
	}
}

// keepBallast puts the ballast in place when there is room for it above the
// watermark, and notes whether it is there.
func (s *Store) keepBallast() {
	path := s.ballastPath()
	if s.set.ballast == 0 {
		_ = os.Remove(path)
		return
	}
	if st, err := os.Stat(path); err == nil && st.Size() == s.set.ballast {
		s.ballast.Store(true)
		return
	}
	s.ballast.Store(false)
	free, ok := freeBytes(s.set.dir)
	if !ok || free < uint64(s.set.watermark+2*s.set.ballast) {
		return
	}
	if err := reserve(path, s.set.ballast); err != nil {
		_ = os.Remove(path)
		s.logger.l.Warn("ballast not kept", "error", err)
		return
	}
	s.ballast.Store(true)
}
