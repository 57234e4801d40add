package escrowtest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
)

// files are the contents of a place's files, by path.
type files map[string][]byte

// outOfReach says why a place's files cannot be touched; nil = they can.
func (r *Rig) outOfReach(p *Place) error {
	switch {
	case !r.Durable:
		return Skip("this backend keeps nothing when it is closed, and says so")
	case p.Dir == "":
		return Skip("the files lie at a server, out of reach")
	}
	return nil
}

// keep reads everything under dir, and head where there is one.
func keep(dir, head string) (files, error) {
	all := files{}
	read := func(path string) (err error) {
		all[path], err = os.ReadFile(path)
		return err
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		return read(path)
	})
	if err == nil && head != "" {
		err = read(head)
	}
	if err != nil {
		return nil, fmt.Errorf("harness: read the files of a place: %w", err)
	}
	return all, nil
}

// names are the paths of the files that are not empty, in order.
func (f files) names() (out []string) {
	for name, b := range f {
		if len(b) > 0 {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return out
}

// putBack makes dir hold f's files in it and no other, and writes those outside.
func (f files) putBack(dir string) error {
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if _, kept := f[path]; kept {
			return nil
		}
		return os.Remove(path)
	})
	for name, b := range f {
		if err == nil {
			err = os.WriteFile(name, b, 0o600)
		}
	}
	if err != nil {
		return fmt.Errorf("harness: put the files of a place back: %w", err)
	}
	return nil
}
