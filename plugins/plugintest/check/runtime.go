package check

import (
	"bufio"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// Missing is something the program needs and this machine lacks: an
// interpreter, a loader, a module. Fix says how to get it.
type Missing struct {
	What string
	Fix  string
}

// Error names what is missing.
func (m *Missing) Error() string { return m.What }

// runnable is the first case: whether this machine can execute the file at all.
func runnable(_ context.Context, t Target) error {
	st, err := os.Stat(t.Path)
	if err != nil {
		return err
	}
	if st.Mode().Perm()&0o111 == 0 && runtime.GOOS != "windows" {
		return &Missing{What: filepath.Base(t.Path) + " has no execute permission", Fix: "chmod +x " + t.Path}
	}
	f, err := os.Open(t.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	line, err := bufio.NewReaderSize(f, 256).ReadSlice('\n')
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return err
	}
	switch {
	case strings.HasPrefix(string(line), "#!"):
		return interpreter(strings.TrimSuffix(string(line[2:]), "\n"))
	case strings.HasPrefix(string(line), elf.ELFMAG):
		return loader(f)
	case runtime.GOOS == "linux":
		return &Missing{What: "it is neither a program of Linux nor a script with #! in its first line", Fix: "build it for this machine, or start the script with its interpreter, as #!/usr/bin/python3"}
	}
	return nil
}

// interpreter looks for the program a script names in its first line.
func interpreter(line string) error {
	word := strings.Fields(line)
	if len(word) == 0 {
		return &Missing{What: "the first line names no interpreter", Fix: "write it after #!, as #!/usr/bin/python3"}
	}
	if strings.ContainsRune(line, '\r') {
		return &Missing{What: "the first line ends with a carriage return", Fix: "save the file with line ends of Unix"}
	}
	if filepath.Base(word[0]) == "env" {
		for _, w := range word[1:] {
			if strings.HasPrefix(w, "-") || strings.Contains(w, "=") {
				continue
			}
			if _, err := exec.LookPath(w); err != nil {
				return &Missing{What: w + ", its interpreter, is not in PATH", Fix: "install " + w + ", or name the interpreter by its whole path"}
			}
			break
		}
	}
	if _, err := os.Stat(word[0]); err != nil {
		return &Missing{What: word[0] + ", its interpreter, is not on this machine", Fix: "install it, or correct the first line of the script"}
	}
	return nil
}

var machines = map[string]elf.Machine{
	"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "386": elf.EM_386, "arm": elf.EM_ARM,
	"riscv64": elf.EM_RISCV, "loong64": elf.EM_LOONGARCH, "ppc64le": elf.EM_PPC64, "s390x": elf.EM_S390,
}

// loader looks at what an ELF file was built for and the loader it asks for.
func loader(f *os.File) error {
	e, err := elf.NewFile(f)
	if err != nil {
		return &Missing{What: "it begins as a program and is none: " + err.Error(), Fix: "build it again"}
	}
	if want, known := machines[runtime.GOARCH]; known && e.Machine != want {
		return &Missing{What: fmt.Sprintf("it was built for %v, this machine is %v", e.Machine, want), Fix: "build it for this machine, with Go: GOARCH=" + runtime.GOARCH}
	}
	for _, p := range e.Progs {
		if p.Type != elf.PT_INTERP || p.Filesz > 4096 {
			continue
		}
		name := make([]byte, p.Filesz)
		if _, err := p.ReadAt(name, 0); err != nil {
			return &Missing{What: "the name of its loader cannot be read", Fix: "build it again"}
		}
		path := strings.TrimRight(string(name), "\x00")
		if _, err := os.Stat(path); err != nil {
			return &Missing{What: path + ", the loader it was linked for, is not on this machine", Fix: "link it statically, with Go: CGO_ENABLED=0"}
		}
	}
	return nil
}

var (
	pythonModule = regexp.MustCompile(`(?m)^(?:ModuleNotFoundError|ImportError): No module named '([\w.]+)'`)
	sharedObject = regexp.MustCompile(`(?m)(lib[\w.+-]+\.so[\w.]*): cannot open shared object file`)
)

// debian names the packages of the modules a plugin is likely to want.
var debian = map[string]string{
	"grpc": "python3-grpcio", "google": "python3-protobuf", "numpy": "python3-numpy", "cryptography": "python3-cryptography",
}

// missing finds in what a program said the thing it did not find; nil if nothing.
func missing(said string) *Missing {
	if m := pythonModule.FindStringSubmatch(said); m != nil {
		top, _, _ := strings.Cut(m[1], ".")
		fix := "install it for the interpreter of the first line, or run make deps in the plugin's folder"
		if p, ok := debian[top]; ok {
			fix = "apt install " + p + ", or run make deps in the plugin's folder"
		}
		return &Missing{What: "the Python module " + m[1] + " is missing", Fix: fix}
	}
	if m := sharedObject.FindStringSubmatch(said); m != nil {
		return &Missing{What: "the shared library " + m[1] + " is missing", Fix: "install it, or link it statically"}
	}
	return nil
}
