// Package cutdisk is a disk whose power can be cut, for tests and for the
// laboratory: an ext4 in a file over a loop device, shut down without writing
// its journal out, so that whatever was not synced is gone. It is for Linux as
// root.
package cutdisk

import "errors"

// ErrAbsent says that no power can be cut here; what is wrapped with it says why.
var ErrAbsent = errors.New("no disk whose power can be cut")
