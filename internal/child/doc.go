// Package child runs other programs, servers for tests and for the laboratory,
// so that none outlives this process however it ends. It is for Linux.
package child
