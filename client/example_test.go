package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/keposs/keposs/client"
)

// An app provisions once, initialises a user once, and signs whenever the
// person agrees. The prompter is the app's own screen.
func Example() {
	ctx := context.Background()
	if ticket, err := os.ReadFile("app.ticket"); err == nil { // first run
		if _, err := client.Provision(ctx, "app-data", ticket); err != nil {
			fmt.Println(err)
			return
		}
	}
	screen := client.PrompterFunc(func(_ context.Context, p client.Prompt) (client.Sample, error) {
		return client.NewSample(p.Kinds[0], askThePerson(p.Text, p.Refusal)), nil
	})
	c, err := client.Open(ctx, client.Options{Dir: "app-data", Prompter: screen, InProcess: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	if _, err := c.User(); errors.Is(err, client.NotReady) {
		if _, err := c.Initialize(ctx, client.InitRequest{Policy: "pin & gesture"}); err != nil {
			fmt.Println(err)
			return
		}
	}
	sig, err := c.Sign(ctx, client.SignRequest{Message: []byte("I sell you my house.")})
	switch {
	case errors.Is(err, client.Auth):
		fmt.Println("some factor was wrong: try again")
	case errors.Is(err, client.Locked):
		fmt.Println("ask the administrator")
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Printf("%x\n", sig.DER())
	}
}

// askThePerson is the app's: a keypad, a grid of dots.
func askThePerson(text, refusal string) []byte { return nil }
