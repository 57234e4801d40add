package escrowtest

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"path/filepath"

	"github.com/keposs/keposs/core/sscc/sscctest"
)

var plain = []Case{
	{"NothingReadable", "With SS-CC above it, no name and no identifier of an app, a device or a user stands in the store's files, raw or as text.",
		"Store keys and contents as they come, and log neither.", "P", 1, nothingReadable},
}

func nothingReadable(ctx context.Context, r *Rig) error {
	f, err := r.Fresh(ctx)
	if err != nil {
		return err
	}
	if err := r.outOfReach(f.Place); err != nil {
		return err
	}
	marks, err := sscctest.Identifiers(f.Backend)
	if err != nil {
		return fmt.Errorf("SS-CC over this store: %w", err)
	}
	if err := f.Backend.Close(); err != nil {
		return err
	}
	all, err := keep(f.Place.Dir, f.Place.Head)
	if err != nil {
		return err
	}
	size := 0
	for path, b := range all {
		size += len(bytes.TrimRight(b, "\x00"))
		for name, mark := range marks {
			if bytes.Contains(b, mark) || bytes.Contains(bytes.ToLower(b), []byte(hex.EncodeToString(mark))) {
				return fmt.Errorf("%s stands readable in %s", name, filepath.Base(path))
			}
		}
	}
	if size < 1000 {
		return fmt.Errorf("only %d bytes are in the files: the case shows nothing", size)
	}
	return nil
}
