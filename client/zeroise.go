package client

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
)

// Zeroise destroys every secret and record of the terminal's folder dir: the
// service of last resort (G-7.9-10). It needs no PPD, no SS-CC and no module
// that can be opened; it returns when all is erased, and repeated after a crash
// it finishes. What SS-CC keeps is useless without the device secret or a
// recovery sheet; the administrator removes it. NotFound when there is no such
// folder, Unavailable while another process holds it.
// req: K-10.2-07, G-7.9-10, G-7.9-11, K-17.7-00
func Zeroise(ctx context.Context, dir string) error {
	const op = "client: zeroise"
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return core.Errorf(core.NotFound, op, "%s is no terminal's folder", dir)
	}
	f, err := openFolder(dir)
	if err != nil {
		return err
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	keys, err := mstcc.NewFileKeyStore(f.keys())
	if err != nil {
		return err
	}
	names, err := os.ReadDir(f.keys())
	if err != nil {
		return core.Errorf(core.Environment, op, "%w", err)
	}
	for _, e := range names {
		err = errors.Join(err, keys.Delete(ctx, e.Name()))
	}
	if _, serr := os.Stat(f.state()); !errors.Is(serr, fs.ErrNotExist) {
		err = errors.Join(err, mstcc.Erase(f.state()))
	}
	err = errors.Join(err, f.tell("zeroise", err))
	return errors.Join(err, f.forget(userFile), f.forget(enrollingFile), f.forget(bindingFile), f.sync())
}
