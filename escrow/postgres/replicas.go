package postgres

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A commit that waits for synchronous standbys and is cancelled meanwhile, by an
// administrator or a time limit of the server, is answered as done, with a
// warning that it is on the primary alone. It would not survive a failover, so
// here it is no success.

// errUnreplicated is the fate of such a commit.
var errUnreplicated = errors.New("the wait for the standbys was cancelled")

const warnedKey = "keposs.warned"

// heed notes a warning on its connection. The statements of this package raise
// none themselves.
func heed(c *pgconn.PgConn, n *pgconn.Notice) {
	if n.SeverityUnlocalized == "WARNING" {
		c.CustomData()[warnedKey] = true
	}
}

// durably runs a commit of conn and makes a warning its failure. It is not a
// server's error that aborts, so writeError calls it Indeterminate.
func durably(conn *pgxpool.Conn, commit func() error) error {
	data := conn.Conn().PgConn().CustomData()
	delete(data, warnedKey)
	if err := commit(); err != nil {
		return err
	}
	if data[warnedKey] != nil {
		return errUnreplicated
	}
	return nil
}
