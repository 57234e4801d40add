//go:build !unix || aix || solaris

package badger

import (
	"errors"
	"os"
)

const holds = false

func hold(*os.File) error { return errors.ErrUnsupported }
