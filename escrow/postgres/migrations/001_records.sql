-- One row a key; a deleted one stays as a tombstone that keeps the version.
-- Everything a try changes is short and in the main tuple. A blob that does not
-- fit there lies apart, uncompressed, and an update of hot leaves it where it is.
create table record (
    key  bytea   primary key,
    ver  bigint  not null check (ver > 0),
    dead boolean not null,
    req  uuid    not null,
    hot  bytea   not null,
    blob bytea   not null
) with (fillfactor = 70);
alter table record alter column hot set storage plain;
alter table record alter column blob set storage external;

-- The fence, shifted so that the order of 64-bit unsigned numbers is that of bigint.
create table fence (
    one   boolean primary key check (one),
    value bigint  not null
);
insert into fence values (true, -9223372036854775808);
