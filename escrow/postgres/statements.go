package postgres

// Statements of one mutation. $1 key, $2 request id, $3 expected version; a
// create has no expected version. A fenced one ends with the fence in the
// number given to it. Each changes one row or none and returns the new version.
const (
	fresh = ` and ver < 9223372036854775807 and (req <> $2 or $2 = '00000000-0000-0000-0000-000000000000')`
	match = ` where key = $1 and ver = $3 and not dead` + fresh

	putSQL    = `update record set ver = ver + 1, req = $2, hot = $4, blob = $5` + match
	putHotSQL = `update record set ver = ver + 1, req = $2, hot = $4` + match
	deleteSQL = `update record set ver = ver + 1, req = $2, hot = '', blob = '', dead = true` + match

	createSQL       = `insert into record as r (key, ver, dead, req, hot, blob) values ($1, 1, false, $2, $3, $4)` + revive
	createFencedSQL = `insert into record as r (key, ver, dead, req, hot, blob) select $1::bytea, 1, false, $2::uuid, $3::bytea, $4::bytea where $5 >= (select value from fence)` + revive
	revive          = ` on conflict (key) do update set ver = r.ver + 1, dead = false, req = $2, hot = $3, blob = $4
 where r.dead and r.ver < 9223372036854775807 and (r.req <> $2 or $2 = '00000000-0000-0000-0000-000000000000') returning ver`

	returning = ` returning ver`
)

const (
	// holdFenceSQL keeps the fence from moving until the transaction ends; the
	// statements after it see its newest value.
	holdFenceSQL  = `select value from fence for share`
	readFenceSQL  = `select value from fence`
	raiseFenceSQL = `update fence set value = $1 where value <= $1`

	// barrierSQL writes nothing but a commit, acknowledged when the standbys have it.
	barrierSQL = `select pg_logical_emit_message(true, 'keposs', '')`

	// stateSQL reads what a refused mutation met; the blob only for a repetition.
	stateSQL = `select ver, dead, req, hot, case when req = $2 then blob else ''::bytea end from record where key = $1`

	getSQL    = `select key, ver, req, hot, blob from record where key = any($1) and not dead`
	getHotSQL = `select key, ver, req, hot, null::bytea from record where key = any($1) and not dead`
	scanSQL   = `select key, ver, dead, req, case when $3 then hot end, case when $4 then blob end from record
 where key > $1 and ($2 or not dead) order by key limit $5`
)
