package escrowtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
)

var rollbacks = []Case{
	{"FolderPutBack", "All files of the folder put back as they once were make a store that says Corrupt, where something outside remembers.",
		"Keep the newest state's number in a file of its own that can lie on another disk.", "K", 1, folderPutBack},
	{"OneFilePutBack", "Any single file put back as it once was makes a store that says Corrupt, or one that is right.",
		"Number the states in one file and compare when opening.", "K", 1, onePutBack},
}

// twoAges is a place with a closed store, what is in it, and its files as they
// once were and as they are.
func twoAges(ctx context.Context, r *Rig) (place *Place, all state, old, now files, err error) {
	f, err := r.Fresh(ctx)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	place = f.Place
	if err := r.outOfReach(place); err != nil {
		return nil, nil, nil, nil, err
	}
	ks := newKeys()
	if all, err = contents(ctx, f, ks, 16); err != nil {
		return nil, nil, nil, nil, err
	}
	if err = f.Backend.Close(); err != nil {
		return nil, nil, nil, nil, err
	}
	if old, err = keep(place.Dir, place.Head); err != nil {
		return nil, nil, nil, nil, err
	}
	if err = f.open(ctx); err != nil {
		return nil, nil, nil, nil, err
	}
	counted := putHot(ks.at(0), 2, "counted") // the old files have it lower
	more, err := contents(ctx, f, newKeys(), 16)
	if err = first(err, want(ctx, f, counted, 3), f.Backend.Close()); err != nil {
		return nil, nil, nil, nil, err
	}
	one := all[string(counted.Key)]
	one.Version, one.Hot, one.ReqID = 3, counted.Hot, counted.ReqID
	all[string(counted.Key)] = one
	maps.Copy(all, more)
	now, err = keep(place.Dir, place.Head)
	return place, all, old, now, err
}

func folderPutBack(ctx context.Context, r *Rig) error {
	place, _, old, now, err := twoAges(ctx, r)
	if err != nil {
		return err
	}
	if place.Head == "" {
		return Skip("nothing outside its folder remembers; the head that SS-CC keeps outside the backend notices it")
	}
	old[place.Head] = now[place.Head]
	if err := old.putBack(place.Dir); err != nil {
		return err
	}
	corrupt, err := r.reopened(ctx, place, nil)
	if err == nil && !corrupt {
		err = errors.New("it opens without a word")
	}
	return err
}

func onePutBack(ctx context.Context, r *Rig) error {
	place, all, old, now, err := twoAges(ctx, r)
	if err != nil {
		return err
	}
	if err := now.putBack(place.Dir); err != nil {
		return err
	}
	for _, name := range now.names() {
		was, there := old[name]
		if there && bytes.Equal(was, now[name]) {
			continue
		}
		if there {
			err = os.WriteFile(name, was, 0o600)
		} else {
			err = os.Remove(name)
		}
		if err != nil {
			return fmt.Errorf("harness: put %s back: %w", filepath.Base(name), err)
		}
		if _, err := r.reopened(ctx, place, all); err != nil {
			return fmt.Errorf("%s as it once was: %w", filepath.Base(name), err)
		}
		if err := now.putBack(place.Dir); err != nil {
			return err
		}
	}
	return nil
}
