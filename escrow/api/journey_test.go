package api_test

import (
	"errors"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/escrow/api"
)

// A terminal's life over real TLS with a real SS-CC: provisioned by ticket,
// initialised, signing, locked out by wrong PINs, unlocked by the
// administrator, signing again, deregistered.
// req: K-7.1-01, K-7.2-05, K-17.1-05, X-14, K-3-03, K-6-03, K-6.1-04, K-6.2-00
func TestJourney(t *testing.T) {
	for _, mode := range []protocol.Mode{protocol.ModePlain, protocol.ModeHardened} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			s := newStation(t, nil)
			p := s.phone()
			m, user := p.initialise(mode)
			sign := func(pin string) error {
				t.Helper()
				msg := []byte("pay 5 to bob")
				sig, _, err := m.Sign(bg, msg, nil, mstcc.OpenOptions{}, types(pin))
				if err == nil && !sm.Verify(user.Sign, msg, []byte(protocol.DefaultUserID), sig) {
					t.Error("the signature does not verify under the user's key")
				}
				return err
			}
			s.must(sign("right"))
			s.desk(func(a *api.Admin) {
				u, err := a.FindUser(bg, user.User)
				s.must(err)
				if u.State != "active" || u.Mode != mode || u.Device != p.peer.Device || u.App != p.peer.App {
					t.Errorf("the administrator sees %+v", u)
				}
			})
			for i := 1; i <= 5; i++ {
				if err := sign("wrong"); !errors.Is(err, core.Auth) {
					t.Fatalf("wrong pin %d: %v", i, err)
				}
			}
			if err := sign("right"); !errors.Is(err, core.Locked) || m.State() != mstcc.Locked {
				t.Fatalf("after 5 wrong pins: %v, state %s", err, m.State())
			}
			s.desk(func(a *api.Admin) { s.must(a.UnlockUser(bg, p.peer.App, user.User)) })
			if err := sign("right"); err != nil {
				t.Fatalf("after the unlock: %v", err)
			}
			st, err := m.Status(bg, true)
			s.must(err)
			if st.Alarm || st.Used != 0 {
				t.Errorf("status %+v", st)
			}
			s.must(m.Deregister(bg, mstcc.OpenOptions{}, types("right")))
			s.desk(func(a *api.Admin) {
				if u, err := a.FindUser(bg, user.User); err == nil && u.State != "removed" {
					t.Errorf("after deregistration the administrator sees %+v", u)
				}
			})
		})
	}
}
