// Command embed is an app with the module inside: it initialises a user on
// first use, signs a file, and verifies the signature. Everything goes through
// package client; nothing else of keposs is imported (clause 6.3).
//
//	keposs admin ticket APP-ID --out app.ticket      # once, on the server
//	go run ./examples/embed -dir D -ticket app.ticket contract.pdf
//
// The app owns its screen: here that is standard input and standard error. A
// phone app would show a keypad and a grid of dots instead.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/keposs/keposs/client"
)

func main() {
	dir := flag.String("dir", "embed-data", "the app's own folder")
	ticket := flag.String("ticket", "", "the administrator's ticket, needed once")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: embed [-dir D] [-ticket FILE] FILE")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *dir, *ticket, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "embed:", err)
		switch { // an app acts on codes, never on texts
		case errors.Is(err, client.Auth):
			fmt.Fprintln(os.Stderr, "Some factor was wrong. Try again.")
		case errors.Is(err, client.Locked):
			fmt.Fprintln(os.Stderr, "Too many wrong tries. Ask the administrator to unlock.")
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, dir, ticketFile, file string) (err error) {
	message, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if ticketFile != "" {
		ticket, err := os.ReadFile(ticketFile)
		if err != nil {
			return err
		}
		if _, err := client.Provision(ctx, dir, ticket); err != nil {
			return err
		}
	}
	c, err := client.Open(ctx, client.Options{
		Dir:       dir,
		Prompter:  screen(bufio.NewReader(os.Stdin)),
		InProcess: true, // sources compiled in: nothing else to install
		Events: func(e client.Event) {
			if e.Step > 0 {
				fmt.Fprintf(os.Stderr, "  %s (%d) %s\n", e.Flow, e.Step, e.Text)
			}
		},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()

	user, err := c.User()
	if errors.Is(err, client.NotReady) {
		first, err := c.Initialize(ctx, client.InitRequest{Policy: "pin & gesture"})
		if err != nil {
			return err
		}
		user = first.User
	} else if err != nil {
		return err
	}
	sig, err := c.Sign(ctx, client.SignRequest{Message: message})
	if err != nil {
		return err
	}
	key, err := user.SignKey()
	if err != nil {
		return err
	}
	ok, _, err := c.Verify(ctx, client.VerifyRequest{Key: key, Message: message, Signature: sig.DER()})
	if err != nil {
		return err
	}
	fmt.Printf("user %s\nsignature %x\nverifies %t\n", user.ID, sig.DER(), ok)
	return nil
}

// screen asks on standard error and reads answers from in, one line each. It
// shows what is typed; a real app does not.
func screen(in *bufio.Reader) client.PrompterFunc {
	return func(_ context.Context, p client.Prompt) (client.Sample, error) {
		if p.Refusal != "" {
			fmt.Fprintln(os.Stderr, p.Refusal)
		}
		fmt.Fprintf(os.Stderr, "%s (%d of %d): ", p.Text, p.Index, p.Total)
		line, err := in.ReadBytes('\n')
		answer := []byte(strings.TrimRight(string(line), "\r\n"))
		if err != nil && len(answer) == 0 {
			return client.Sample{}, client.Canceled
		}
		return client.NewSample(p.Kinds[0], answer), nil
	}
}
