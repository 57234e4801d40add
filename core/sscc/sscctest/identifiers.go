package sscctest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sscc"
)

// Identifiers lets an SS-CC over b, which is empty and configured, make an app,
// a device and a user and use them, and returns what of theirs must not be
// readable in b's files, by name.
// req: K-17.1-10
func Identifiers(b core.Backend) (marks map[string][]byte, err error) {
	q := &quiet{}
	defer q.clean()
	defer func() {
		if r := recover(); r != nil {
			f, ok := r.(failure)
			if !ok {
				panic(r)
			}
			marks, err = nil, f
		}
	}()
	s := newSite(q, b, 1, 5)
	name := make([]byte, 16)
	_, _ = rand.Read(name)
	app := "app-" + hex.EncodeToString(name)
	s.admin(func(tok sscc.Token) {
		id, err := s.replicas[0].CreateApp(bg, tok, sscc.AppRequest{Name: app, Limit: 5})
		s.must(err)
		s.app = id
	})
	u := s.user(protocol.ModePlain)
	attempt := newID()
	tries, _, err := u.try(0, attempt, protocol.Point{})
	s.must(err)
	_, err = u.confirm(0, tries.Held)
	s.must(err)
	return map[string][]byte{
		"the app's name": []byte(app), "the app's id": u.app[:], "the device's id": u.peer.Device[:],
		"the device's key": u.peer.Key[:], "the user's id": u.id[:], "an attempt": attempt[:],
		"the administrator's password": adminPassword().Bytes(),
	}, nil
}

// quiet is a test outside go test: a failure ends it by a panic.
type quiet struct{ cleanups []func() }

type failure string

// Error tells what failed.
func (f failure) Error() string { return string(f) }

func (q *quiet) Helper()                           {}
func (q *quiet) Errorf(format string, args ...any) { panic(failure(fmt.Sprintf(format, args...))) }
func (q *quiet) Fatalf(format string, args ...any) { q.Errorf(format, args...) }
func (q *quiet) Fatal(args ...any)                 { panic(failure(fmt.Sprint(args...))) }
func (q *quiet) Cleanup(f func())                  { q.cleanups = append(q.cleanups, f) }

func (q *quiet) clean() {
	for i := len(q.cleanups) - 1; i >= 0; i-- {
		q.cleanups[i]()
	}
}
