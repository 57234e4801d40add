package sscc

import (
	"context"
	"strings"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/attest"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// An Attestor judges a platform's proof that a terminal is genuine (P-14). Any
// error refuses the proof; its text goes to the log alone. Safe for concurrent
// use. attest.Service is one; what reads a platform's own tokens is another.
type Attestor interface {
	Verify(ctx context.Context, token []byte, want attest.Want) error
}

const maxAttest = protocol.MaxPlatform + 1 + protocol.MaxSubject

// attestation splits an app's policy PLATFORM=SUBJECT.
func attestation(text string) (platform, subject string, ok bool) {
	platform, subject, ok = strings.Cut(text, "=")
	return platform, subject, ok && platform != "" && len(platform) <= protocol.MaxPlatform && subject != "" && len(subject) <= protocol.MaxSubject && printable(text)
}

// checkAttest refuses a policy that no terminal could satisfy here.
func (s *Server) checkAttest(text string) error {
	const op = "sscc: create app"
	if text == "" {
		return nil
	}
	platform, _, ok := attestation(text)
	if !ok {
		return core.Errorf(core.Invalid, op, "an attestation is PLATFORM=SUBJECT of printable text, such as play=com.example.bank")
	}
	if s.cfg.Attestors[platform] == nil {
		return core.Errorf(core.Unsupported, op, "this SS-CC knows no attestation service for %s: name its key in [attest] of config.toml", platform)
	}
	return nil
}

// proved refuses a terminal that owes an attestation: its app's policy asks for
// one, and there is none of the last Limits.AttestTTL.
// req: P-14
func (c *call) proved() error {
	if c.app.attest == "" {
		return nil
	}
	now := c.s.now().Unix()
	if p := c.dev.proved; p > 0 && p <= now+60 && now-p < int64(c.s.cfg.Limits.AttestTTL/time.Second) {
		return nil
	}
	platform, _, _ := attestation(c.app.attest)
	return core.Errorf(core.Environment, "ss-cc: attestation", "this app serves terminals only that %s vouches for", platform)
}

func (c *call) attestAbout() [][]byte {
	return [][]byte{enc.Str("attest"), c.peer.App[:], c.peer.Device[:], c.peer.Key[:]}
}

// Attest takes a platform's proof over a challenge of this minute or the one
// before. It counts for Limits.AttestTTL. Refused says no more than that.
// req: P-14
func (s *Server) Attest(ctx context.Context, peer protocol.Peer, r protocol.AttestRequest) error {
	return s.serveIf(ctx, "attest", peer, protocol.ID{}, true, func(c *call, _ *user) error {
		platform, subject, ok := attestation(c.app.attest)
		if c.app.revoked || !ok || platform != r.Platform || s.cfg.Attestors[platform] == nil || !c.k.fresh(s.now(), r.Challenge, c.attestAbout()...) {
			return refused
		}
		w := attest.Want{Nonce: sm.SM3(protocol.AttestInput(c.k.realm, peer.App, peer.Device, peer.Key, r.Challenge)), Subject: subject, Now: s.now()}
		if err := s.cfg.Attestors[platform].Verify(ctx, r.Token, w); err != nil {
			s.cfg.Logger.Info("attestation refused", "platform", platform, "error", err)
			return refused
		}
		return s.editDoc(ctx, c.k, kindDevice, c.k.deviceKey(nil, peer.App, peer.Device), "device", func(plain []byte) ([]byte, error) {
			d, err := parseDevice(plain)
			if err != nil {
				return nil, err
			}
			if d.key != peer.Key || d.revoked {
				return nil, refused
			}
			d.proved = w.Now.Unix()
			return d.marshal(), nil
		}, event{kind: evAttest, device: s.audit.digest(c.k, peer.Device[:])})
	})
}
