package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/keposs/keposs/client/clienttest"
	"github.com/keposs/keposs/core/mstcc/probes"
	"github.com/keposs/keposs/internal/testenv"
	"github.com/keposs/keposs/plugins/catalog"
)

// zeroiseAgent is the socket of the agent the child is an app of; "" = none.
const zeroiseAgent = "KEPOSS_ZEROISE_AGENT"

// zeroiseFault is the mode of the child that the agent serves: in "panic" and
// "entry" its second signature panics inside the agent.
const zeroiseFault = "KEPOSS_ZEROISE_FAULT"

// faulty makes an agent panic in the second signature's step: 6 while the keys
// are open, 2 with the factors in memory. 0 = never.
func faulty(mode string) func(verb string, _ Event) {
	at := map[string]int{"panic": 6, "entry": 2}[mode]
	n := 0
	return func(verb string, e Event) {
		if at != 0 && verb == "sign" && e.Step == at {
			if n++; n == 2 {
				panic("inside the service")
			}
		}
	}
}

// agentChild is the agent whose memory is looked at, shut off as the command's.
func agentChild() {
	go collect()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := probes.Harden()
	if err == nil {
		err = ServeAgent(ctx, AgentOptions{Dir: os.Getenv(zeroiseDir), Events: faulty(os.Getenv(zeroiseFault)), Ready: func(r AgentReady) {
			b, _ := json.Marshal(r)
			fmt.Println(string(b))
		}})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(5)
	}
	os.Exit(0)
}

// agentBeside starts an agent in a process of its own until the test ends.
func agentBeside(t *testing.T, dir string, env ...string) (pid int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), zeroiseMode+"=agent", zeroiseDir+"="+dir), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the agent ended with %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var r AgentReady
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	if err != nil {
		t.Fatalf("the agent said %q: %v", line, err)
	}
	return r.PID
}

// With the module in an agent at level 2, also after a panic in it, none of the secrets stays in the app,
// in the agent or in its plugin processes, nor in a file, what crossed the
// loopback device, or the environment or arguments of a process.
// req: K-5.3-01b, K-5.3-02d, K-15.4-02b, K-12.1-L2a, X-05, X-11, TK-01
func TestNothingStaysInAgent(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector keeps copies of its own")
	}
	if os.Getuid() != 0 {
		t.Skip("only root reads the memory of a process that shut it")
	}
	for _, mode := range []string{"success", "control", "wrong", "cancel", "panic", "entry", "deregister"} {
		t.Run(mode, func(t *testing.T) {
			if mode != "success" {
				testenv.NeedLevel(t, 1)
			}
			zeroised(t, mode, true)
		})
	}
}

// An agent whose plugins cannot be opened under another profile, nor again under
// the one before, says so, and serves when they can.
func TestAgentOutlivesAModuleThatDoesNotOpen(t *testing.T) {
	dir, pinned := provisioned(t, clienttest.New(t)), t.TempDir()
	socket, _ := agentOf(t, dir, func(o *AgentOptions) { o.Pinned = pinned })
	limit := func(n uint32) *Client {
		return atAgent(t, socket, right, func(o *Options) { o.Profile = DefaultProfile(); o.Profile.Limit = n })
	}
	broken := filepath.Join(pinned, catalog.ManifestName)
	if err := os.WriteFile(broken, []byte("no manifest"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, n := range []uint32{2, 3} {
		if _, err := limit(n).Initialize(t.Context(), InitRequest{}); err == nil {
			t.Error("initialised without plugins")
		}
	}
	if _, err := limit(2).ReloadPlugins(t.Context()); err == nil {
		t.Error("reloaded what is no manifest")
	}
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	if _, err := limit(2).Initialize(t.Context(), InitRequest{}); err != nil {
		t.Error(err)
	}
}
