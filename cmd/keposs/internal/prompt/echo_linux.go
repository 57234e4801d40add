package prompt

import "golang.org/x/sys/unix"

// echoes reports whether the terminal shows what is typed.
func echoes(fd int) (bool, error) {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return false, err
	}
	return t.Lflag&unix.ECHO != 0, nil
}
