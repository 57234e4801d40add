package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/keposs/keposs/internal/testenv"
)

// scripts runs the scripts of testdata/script that match pattern, each in a
// folder and a home of its own.
func scripts(t *testing.T, pattern string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "script", pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no script %s: %v", pattern, err)
	}
	testscript.Run(t, params(files, nil))
}

// params are those of scripts; setup adds to the environment of each.
func params(files []string, setup func(*testscript.Env) error) testscript.Params {
	return testscript.Params{
		Files:               files,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("XDG_DATA_HOME", filepath.Join(env.WorkDir, "data"))
			env.Setenv("EXAMPLES", filepath.Join(testenv.Root(), "examples"))
			env.Setenv("PYTHONDONTWRITEBYTECODE", "1")
			if setup != nil {
				return setup(env)
			}
			return nil
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "openssl3":
				return openssl3() == "", nil
			case "grpcio":
				return grpcio(), nil
			case "power":
				return power(), nil
			}
			return false, fmt.Errorf("unknown condition %s", cond)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"serve":     serve,
			"listening": listening,
			"user":      user,
			"private":   private,
			"field":     field,
			"save":      save,
			"flip":      flip,
		},
	}
}

// sh runs a shell command of the script's own and fails it with what was said.
func sh(ts *testscript.TestScript, format string, args ...any) {
	ts.Check(ts.Exec("sh", "-c", fmt.Sprintf(format, args...)))
}

// home is the data folder of the script.
func home(ts *testscript.TestScript) string {
	return filepath.Join(ts.Getenv("XDG_DATA_HOME"), "keposs")
}

const scriptPassword = "correct horse battery"

// serve [FLAG…]: makes SS-CC with the flags, runs it unsealed until the script ends, logs the
// administrator in, creates an app ($APP) and provisions the terminal.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: serve [FLAG…]")
	}
	ts.Check(os.WriteFile(ts.MkAbs("admin-password"), []byte(scriptPassword+"\n"), 0o600))
	sh(ts, "keposs ss-cc init --password-fd 3 %s 3<admin-password", strings.Join(args, " "))
	startServer(ts)
	sh(ts, "keposs admin login --password-fd 3 3<admin-password")
	ts.Check(ts.Exec("keposs", "admin", "app", "create", "bank", "--json"))
	field(ts, false, []string{"id", "APP"})
	ts.Check(ts.Exec("keposs", "admin", "ticket", ts.Getenv("APP"), "--out", "bank.ticket"))
	ts.Check(ts.Exec("keposs", "provision", "bank.ticket"))
}

// startServer runs SS-CC unsealed in the background; the end of the script ends
// its standard input, and so the server.
func startServer(ts *testscript.TestScript) {
	password, err := os.Open(ts.MkAbs("admin-password"))
	ts.Check(err)
	defer password.Close()
	exe, err := os.Executable()
	ts.Check(err)
	cmd := exec.Command(exe, "ss-cc", "serve", "--listen", "127.0.0.1:0", "--json", "--until-stdin-ends", "--unseal-fd", "3", "--log", "warn")
	cmd.Args[0] = "keposs"
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("HOME"), "XDG_DATA_HOME="+ts.Getenv("XDG_DATA_HOME"))
	cmd.ExtraFiles = []*os.File{password}
	cmd.Stderr = os.Stderr
	life, err := cmd.StdinPipe()
	ts.Check(err)
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	said := bufio.NewReader(out)
	ts.Defer(func() {
		_ = life.Close()
		late := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		_, _ = io.Copy(io.Discard, said)
		if err := cmd.Wait(); err != nil {
			ts.Logf("ss-cc serve: %v", err)
		}
	})
	line, err := said.ReadString('\n')
	if err != nil || !strings.Contains(line, `"SERVING"`) {
		ts.Fatalf("ss-cc serve: %v, first line %q", err, line)
	}
}

// listening waits until the SS-CC of the data folder can be reached.
func listening(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: listening")
	}
	name := filepath.Join(home(ts), "ss-cc", "listening.json")
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if b, err := os.ReadFile(name); err == nil && json.Valid(b) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("SS-CC does not listen after 20 s")
		}
	}
}

// user LIMIT: initialises a user with PIN and gesture ($USER); the script finds
// the right answers in the file answers.
func user(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: user LIMIT")
	}
	ts.Check(os.WriteFile(ts.MkAbs("answers"), []byte("pin=271828\ngesture=1-6-7-2-9-4\n"), 0o600))
	sh(ts, "keposs init --in-process --min-iterations 1024 --limit %s --ppd-fd 3 --json 3<answers", args[0])
	ts.Check(os.WriteFile(ts.MkAbs("init.json"), []byte(ts.ReadFile("stdout")), 0o600))
	field(ts, false, []string{"user_id", "USER"})
}

// private FILE...: each is readable by its owner only.
func private(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: private FILE...")
	}
	for _, name := range args {
		st, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		if st.Mode().Perm()&0o077 != 0 {
			ts.Fatalf("%s has mode %04o: others may read it", name, st.Mode().Perm())
		}
	}
}

// field NAME VARIABLE: takes a text field of the JSON object last printed.
func field(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: field NAME VARIABLE")
	}
	ts.Setenv(args[1], textOf(ts, "stdout", args[0]))
}

// save NAME FILE: writes a text field of what the command user was answered.
func save(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: save NAME FILE")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(textOf(ts, "init.json", args[0])), 0o600))
}

// textOf reads a text field of the object in a file.
func textOf(ts *testscript.TestScript, file, name string) string {
	var o map[string]any
	if err := json.Unmarshal([]byte(ts.ReadFile(file)), &o); err != nil {
		ts.Fatalf("%s is no object: %v", file, err)
	}
	text, ok := o[name].(string)
	if !ok || text == "" {
		ts.Fatalf("the object has no text field %s", name)
	}
	return text
}

// flip FILE OFFSET: changes one bit; a negative offset counts from the end.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip FILE OFFSET")
	}
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	name := ts.MkAbs(args[0])
	b, err := os.ReadFile(name)
	ts.Check(err)
	if at < 0 {
		at += len(b)
	}
	if at < 0 || at >= len(b) {
		ts.Fatalf("%s has %d bytes, no offset %s", args[0], len(b), args[1])
	}
	b[at] ^= 1
	ts.Check(os.WriteFile(name, b, 0o600))
}

// grpcio reports whether the interpreter of Python plugins has what they import.
func grpcio() bool {
	return exec.Command("/usr/bin/python3", "-c", "import grpc, google.protobuf, cryptography").Run() == nil
}

// openssl3 says why OpenSSL cannot be used; "" means it can.
func openssl3() string {
	out, err := exec.Command("openssl", "version").Output()
	switch {
	case err != nil:
		return "no openssl here"
	case !strings.HasPrefix(string(out), "OpenSSL 3."):
		return "want OpenSSL 3, have " + strings.TrimSpace(string(out))
	}
	return ""
}

// What a person types, from the README's way by hand to the lock.
// req: G-7.4-02, K-17.1-08b, G-7.10-08, G-7.6-01
func TestScripts(t *testing.T) { scripts(t, "*.txt") }
