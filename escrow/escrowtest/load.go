package escrowtest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keposs/keposs/core"
)

// A Load is a number of clients, each writing a record of its own without pause
// and remembering what it was told, while somebody does harm to the store. It
// goes on from one Run to the next, so that a loss shows up however late.
//
// Lost is a key older than its last acknowledged version, a deleted key that is
// readable, a version nobody asked for, or a hot part and a blob that do not
// belong together.
type Load struct {
	keys    keys
	clients []*loadClient
	acks    atomic.Uint64
	off     atomic.Bool
}

type loadClient struct {
	mu      sync.Mutex
	key     core.Key
	version core.Version // acknowledged
	dead    bool
	rev     core.Version // that wrote the blob
	open    *core.Mutation
	rnd     uint64
}

// NewLoad returns a load of n clients.
func NewLoad(n int) *Load {
	l := &Load{keys: newKeys()}
	for i := range n {
		l.clients = append(l.clients, &loadClient{key: l.keys.at(i), rnd: uint64(i)*2654435761 + 1})
	}
	return l
}

// Acks is how many mutations were acknowledged.
func (l *Load) Acks() uint64 { return l.acks.Load() }

// PowerOff is the moment of a power cut: no answer that comes after it reaches
// anybody, so none counts as an acknowledgement, until Check. A simulated cut
// takes a moment in which a sync under way may be answered either way; a real
// one answers nobody.
func (l *Load) PowerOff() { l.off.Store(true) }

// Run has every client write until ctx ends. A mutation without an answer is
// repeated as it was; what is open at the end stays so and may have happened.
// An error is one the contract does not have.
func (l *Load) Run(ctx context.Context, b core.Backend) error {
	errs := make([]error, len(l.clients))
	var wg sync.WaitGroup
	for i, c := range l.clients {
		wg.Go(func() {
			for ctx.Err() == nil && errs[i] == nil {
				errs[i] = c.step(ctx, l, b)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// During has every client write over b while harm is done, and returns when
// neither runs.
func (l *Load) During(ctx context.Context, b core.Backend, harm func() error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wrote := make(chan error, 1)
	go func() { wrote <- l.Run(ctx, b) }()
	err := harm()
	cancel()
	return first(err, <-wrote)
}

func (c *loadClient) step(ctx context.Context, l *Load, b core.Backend) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		m := c.next()
		c.open = &m
	}
	v, err := commit(ctx, b, *c.open)
	if l.off.Load() { // what was answered is not known; the mutation stays open
		v, err = 0, core.Errorf(core.Indeterminate, "escrowtest", "the power is off")
	}
	switch code := core.CodeOf(err); {
	case err == nil && v == c.version+1:
		c.acknowledged()
		l.acks.Add(1)
	case err == nil:
		return fmt.Errorf("a mutation of version %d made version %d", c.version, v)
	case code == core.Conflict || code == core.NotFound || code == core.Invalid || code == core.Corrupt:
		var e *core.Error
		_ = errors.As(err, &e)
		return fmt.Errorf("version %d was acknowledged, and a %s of it is refused, the current one is %d: %w", c.version, c.open.Op, e.Current, err)
	default: // not now; whoever does harm knows why
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// next is the client's next mutation: mostly a counter step, now and then a
// blob, seldom a deletion.
func (c *loadClient) next() core.Mutation {
	c.rnd = c.rnd*6364136223846793005 + 1442695040888963407
	v := uint64(c.version) + 1
	switch n := c.rnd >> 33 % 32; {
	case c.version == 0 || c.dead:
		return put(c.key, 0, hotFor(v, v), blobFor(v))
	case n == 0:
		return del(c.key, c.version)
	case n < 6:
		return put(c.key, c.version, hotFor(v, v), blobFor(v))
	default:
		return putHot(c.key, c.version, hotFor(v, uint64(c.rev)))
	}
}

func hotFor(version, rev uint64) string { return fmt.Sprintf("%d %d", version, rev) }

func blobFor(rev uint64) string {
	return strings.Repeat(string(binary.BigEndian.AppendUint64(nil, rev)), 100)
}

// acknowledged takes over the open mutation. c.mu is held.
func (c *loadClient) acknowledged() {
	c.version++
	c.dead = c.open.Op == core.OpDelete
	if c.open.Op == core.OpPut {
		c.rev = c.version
	}
	c.open = nil
}

// Check compares a store with what the clients were told and returns how many
// keys lost something and the first finding. Mutations that are open are
// repeated first, until they have an answer. No Run is under way.
func (l *Load) Check(ctx context.Context, b core.Backend) (lost int, finding, err error) {
	l.off.Store(false)
	broken := make([]error, len(l.clients))
	for i, c := range l.clients {
		for c.open != nil && broken[i] == nil {
			if broken[i] = c.step(ctx, l, b); ctx.Err() != nil {
				return 0, nil, fmt.Errorf("the store did not come back: %w", ctx.Err())
			}
		}
	}
	type found struct {
		core.Record
		dead bool
	}
	have := map[string]found{}
	req := core.ScanRequest{Limit: 500, Hot: true, Blob: true, Tombs: true}
	if err := walk(ctx, b, req, func(r core.Record, dead bool) error { have[string(r.Key)] = found{r, dead}; return nil }); err != nil {
		return 0, nil, err
	}
	for i, c := range l.clients {
		h := have[string(c.key)]
		rec, err := get(ctx, b, c.key)
		if err != nil {
			return 0, nil, err
		}
		if why := c.compare(h.Record, h.dead, rec); why != "" && broken[i] == nil {
			broken[i] = errors.New(why)
		}
		if broken[i] != nil {
			lost++
			finding = errors.Join(finding, fmt.Errorf("client %d: %w", i, broken[i]))
			c.open, c.version, c.dead, c.rev = nil, h.Version, h.dead, revOf(h.Hot) // told once
		}
	}
	return lost, finding, nil
}

func (c *loadClient) compare(scanned core.Record, dead bool, read core.Record) string {
	gone := c.dead || c.version == 0
	switch {
	case scanned.Version != c.version:
		return fmt.Sprintf("version %d is there, %d was acknowledged", scanned.Version, c.version)
	case dead != c.dead || gone != (read.Version == 0):
		return fmt.Sprintf("deleted: %v in the scan, version %d when read, acknowledged as deleted: %v", dead, read.Version, c.dead)
	case gone:
		return ""
	case read.Version != c.version:
		return fmt.Sprintf("version %d is read, %d was acknowledged", read.Version, c.version)
	}
	for _, r := range []core.Record{scanned, read} {
		if string(r.Hot) != hotFor(uint64(c.version), uint64(c.rev)) || string(r.Blob) != blobFor(uint64(c.rev)) {
			return fmt.Sprintf("version %d has a hot part or a blob of another", c.version)
		}
	}
	return ""
}

func revOf(hot []byte) core.Version {
	_, rev, _ := strings.Cut(string(hot), " ")
	n, _ := strconv.ParseUint(rev, 10, 64)
	return core.Version(n)
}
