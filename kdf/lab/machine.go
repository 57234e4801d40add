package lab

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/keposs/keposs/kdf/lab/cracker"
)

// A Machine describes where figures were taken. It holds no name and no address.
type Machine struct {
	CPU        string   `json:"cpu"`
	Features   []string `json:"features"` // of those that matter here
	Cores      int      `json:"cores"`
	Memory     uint64   `json:"memory_bytes"`
	OS         string   `json:"os"`
	Arch       string   `json:"arch"`
	Kernel     string   `json:"kernel"`
	Go         string   `json:"go"`
	Experiment string   `json:"goexperiment"`
	Lanes      []int    `json:"lanes"` // widths of the SM3 code in this build
	Version    string   `json:"version"`
	Gmsm       string   `json:"gmsm"`
	OpenSSL    string   `json:"openssl,omitempty"`
	Load       float64  `json:"load_at_start"` // 1 minute; above 0.5 a figure of time is an upper bound
}

// Same reports whether figures of both can stand in one table.
func (m Machine) Same(o Machine) bool {
	return m.CPU == o.CPU && m.Cores == o.Cores && m.Arch == o.Arch && m.Go == o.Go &&
		m.Experiment == o.Experiment && m.Version == o.Version && len(m.Lanes) == len(o.Lanes)
}

// DescribeMachine looks around.
func DescribeMachine(ctx context.Context, version string) Machine {
	m := Machine{
		CPU: "unknown", Cores: runtime.NumCPU(), OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version(),
		Lanes: cracker.Widths(), Version: version, Kernel: firstLine("/proc/sys/kernel/osrelease"),
	}
	if i := strings.IndexAny(m.Go, "- "); i >= 0 && strings.HasPrefix(m.Go[i+1:], "X:") {
		m.Go, m.Experiment = m.Go[:i], m.Go[i+3:]
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "GOEXPERIMENT" {
				m.Experiment = s.Value
			}
		}
		for _, d := range info.Deps {
			if d.Path == "github.com/emmansun/gmsm" {
				m.Gmsm = d.Version
			}
		}
	}
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			key, v, _ := strings.Cut(s.Text(), ":")
			switch v = strings.TrimSpace(v); strings.TrimSpace(key) {
			case "model name":
				m.CPU = v
			case "flags":
				if m.Features == nil {
					m.Features = pick(v)
				}
			}
		}
	}
	for _, line := range strings.Split(readSmall("/proc/meminfo"), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "MemTotal:" {
			kb, _ := strconv.ParseUint(f[1], 10, 40)
			m.Memory = kb << 10
		}
	}
	if f := strings.Fields(readSmall("/proc/loadavg")); len(f) > 0 {
		m.Load, _ = strconv.ParseFloat(f[0], 64)
	}
	m.OpenSSL = opensslVersion(ctx)
	return m
}

func pick(flags string) []string {
	out := []string{}
	for _, f := range strings.Fields(flags) {
		switch f {
		case "avx2", "avx512f", "avx512vl", "bmi2", "sm3", "sha_ni":
			out = append(out, f)
		}
	}
	return out
}

func readSmall(path string) string {
	b, err := os.ReadFile(path)
	if err != nil || len(b) > 1<<16 {
		return ""
	}
	return string(b)
}

func firstLine(path string) string {
	line, _, _ := strings.Cut(readSmall(path), "\n")
	return line
}

// opensslVersion is "" where no OpenSSL 3 is installed.
func opensslVersion(ctx context.Context) string {
	path, err := exec.LookPath("openssl")
	if err != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "version").Output()
	f := strings.Fields(string(out))
	if err != nil || len(f) < 2 || f[0] != "OpenSSL" || !strings.HasPrefix(f[1], "3.") {
		return ""
	}
	return f[1]
}
