// Command pbkdf2sm3 serves the built-in pbkdf2sm3 KDF as a plugin of its own.
package main

import (
	"github.com/keposs/keposs/kdf/pbkdf2sm3"
	"github.com/keposs/keposs/plugins"
)

func main() { plugins.ServeKDF(pbkdf2sm3.New()) }
