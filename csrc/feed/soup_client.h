/* A SoupBinTCP client: a stream of bytes in, numbered messages out, as MoldUDP64 packets.
 *
 *   bytes in --receive--> next --> payload | session | sequence | count | blocks |  (for the merge)
 *   bytes out <--outgoing-- login, heartbeats, logout
 *   step(now) --> the connection that there is to be: 0 none, else its number
 *
 *             due                connected              accepted
 *   WAITING ------> CONNECTING ------------> LOGGING_IN ----------> LIVE ----> ENDED
 *      ^                |                         |                  |   end of session, logout
 *      +--- back-off ---+------- the next server -+------------------+
 *                                                      attempts_max in a row: FAILED
 *
 * Whoever holds the socket keeps to one rule: have the connection of the number that step returns,
 * to server numi_soup_client_server(), and no other. It says when that is up (connected) or gone
 * (lost: refused, reset, closed).
 *
 * The first message has the sequence that the server said when it accepted the login, each one
 * after it the next. A new connection goes on in the same session where the last one stopped. Bytes
 * that are no SoupBinTCP, or nothing that a server says at that point, end the connection: a stream
 * that was misread once cannot be trusted again.
 *
 * A server that accepts logins begins the count of attempts and the back-off anew; the back-off
 * doubles each time all servers were tried.
 *
 * Passive: no clock, no I/O, no allocation after open. One step, one call of next, is bounded by
 * the buffer: 128 KiB. */
#ifndef NUMI_FEED_SOUP_CLIENT_H
#define NUMI_FEED_SOUP_CLIENT_H

#include "wire/mold.h"
#include "wire/soup.h"

enum numi_soup_client_limit {
    NUMI_SOUP_CLIENT_SERVER_MAX = 16,
    NUMI_SOUP_CLIENT_PAYLOAD_MAX = 65536,
    NUMI_SOUP_CLIENT_ROOM = 131072,
};

#define NUMI_SOUP_STATE_LIST(X)                                                                    \
    X(WAITING, waiting)       /* until it is time to connect */                                    \
    X(CONNECTING, connecting) /* the caller is at it */                                            \
    X(LOGGING_IN, logging_in)                                                                      \
    X(LIVE, live)                                                                                  \
    X(ENDED, ended)   /* the session is over, or logged out: nothing more will come */             \
    X(FAILED, failed) /* attempts_max in a row */

#define NUMI_SOUP_STATE_ENUM(name, text) NUMI_SOUP_##name,

enum numi_soup_state { NUMI_SOUP_STATE_LIST(NUMI_SOUP_STATE_ENUM) NUMI_SOUP_STATE_COUNT };

/* Why a connection ended. */
#define NUMI_SOUP_LOSS_LIST(X)                                                                     \
    X(DISCONNECTED, disconnected)     /* the caller said so: refused, reset, closed */             \
    X(LOGIN_TIMEOUT, login_timeout)   /* no connection or no answer to the login in time */        \
    X(SILENCE, silence)               /* not even a heartbeat for silence_ns */                    \
    X(NOT_AUTHORIZED, not_authorized) /* login rejected, 'A' */                                    \
    X(NO_SESSION, no_session)         /* login rejected, 'S': the session is not available */      \
    X(REJECTED, rejected)             /* login rejected for another reason */                      \
    X(OTHER_SESSION, other_session)   /* accepted into another one than was asked for */           \
    X(MALFORMED, malformed)           /* no SoupBinTCP: counts.reasons says how */                 \
    X(UNEXPECTED, unexpected)         /* a packet that no server sends at that point */

#define NUMI_SOUP_LOSS_ENUM(name, text) NUMI_SOUP_LOSS_##name,

enum numi_soup_loss { NUMI_SOUP_LOSS_LIST(NUMI_SOUP_LOSS_ENUM) NUMI_SOUP_LOSS_COUNT };

struct numi_soup_client_options {
    uint32_t servers;      /* how many there are */
    uint32_t attempts_max; /* without a login in a row before it has failed; 0: no end */
    uint32_t payload_max;  /* bytes of a payload; one message goes out whatever its size */
    uint32_t reserved;
    uint64_t sequence;      /* the first one wanted; 0: the next one to come */
    int64_t heartbeat_ns;   /* after so long without a word one is sent */
    int64_t silence_ns;     /* after so long without a byte the server is taken for gone */
    int64_t login_ns;       /* from connecting to accepted */
    int64_t backoff_ns;     /* before the next connection */
    int64_t backoff_max_ns; /* the longest back-off */
    int64_t jitter_ns;      /* at most so much is added to it */
    uint64_t seed;
    char username[6]; /* all three padded with spaces */
    char password[10];
    char session[10]; /* spaces: the current one */
    uint8_t padding[6];
};

struct numi_soup_client_counts {
    uint64_t connections; /* asked for */
    uint64_t logins;      /* accepted */
    uint64_t messages;    /* handed out */
    uint64_t bytes;       /* received */
    uint64_t heartbeats;  /* received */
    uint64_t heartbeats_sent;
    uint64_t debugs; /* debug packets and unsequenced ones: no part of the session */
    uint64_t moved;  /* logins accepted with another sequence than was wanted */
    uint64_t ends_of_session;
    uint64_t losses[9];  /* by enum numi_soup_loss */
    uint64_t reasons[4]; /* by enum numi_soup_reason; [0] is whole packets */
};

struct numi_soup_client;

/* What is usual: docs/recovery.md says why. */
NUMI_API void numi_soup_client_defaults(struct numi_soup_client_options *options);

/* NUMI_ERR_ARGUMENT names the option that is out of its range; NUMI_ERR_NO_MEMORY. */
NUMI_API int numi_soup_client_open(struct numi_soup_client **out,
                                   const struct numi_soup_client_options *options);
NUMI_API void numi_soup_client_close(struct numi_soup_client *client);

/* Begins anew, in any state: the next connection asks for `sequence` of the session that the
 * options name. The next server is asked, without a back-off. */
NUMI_API void numi_soup_client_restart(struct numi_soup_client *client, int64_t now_ns,
                                       uint64_t sequence);

/* What time brings: connecting, heartbeats, time-outs. Returns the number of the connection that
 * there is to be, 0 for none. */
NUMI_API int numi_soup_client_step(struct numi_soup_client *client, int64_t now_ns);

/* Of the connection that there is to be; of another one, nothing is to be said. What came before it
 * was lost is taken by next beforehand. */
NUMI_API void numi_soup_client_connected(struct numi_soup_client *client, int64_t now_ns);
NUMI_API void numi_soup_client_lost(struct numi_soup_client *client, int64_t now_ns);

/* Bytes that came. Returns how many were taken: fewer where next has to make room first, none
 * without a connection. */
NUMI_API uint32_t numi_soup_client_receive(struct numi_soup_client *client, int64_t now_ns,
                                           const uint8_t *bytes, uint64_t size);

/* The next messages: 1 and a MoldUDP64 packet, valid until the next call; 0 without. Its session is
 * the one that the server accepted, as SoupBinTCP has it. */
NUMI_API int numi_soup_client_next(struct numi_soup_client *client, int64_t now_ns,
                                   const uint8_t **payload, uint64_t *size);

/* The bytes to be sent, valid until the next call of another function; NULL and 0 without. */
NUMI_API const uint8_t *numi_soup_client_outgoing(const struct numi_soup_client *client,
                                                  uint64_t *size);

/* The first `size` of them were sent. */
NUMI_API void numi_soup_client_sent(struct numi_soup_client *client, uint64_t size);

/* Says good-bye; the connection is to be kept until that is sent, or login_ns are over. */
NUMI_API void numi_soup_client_logout(struct numi_soup_client *client, int64_t now_ns);

NUMI_API uint32_t numi_soup_client_state(const struct numi_soup_client *client);
NUMI_API uint32_t numi_soup_client_server(const struct numi_soup_client *client);

/* The sequence of the next message. */
NUMI_API uint64_t numi_soup_client_sequence(const struct numi_soup_client *client);

/* The session, ten bytes; spaces before the first login. */
NUMI_API const char *numi_soup_client_session(const struct numi_soup_client *client);

NUMI_API const struct numi_soup_client_counts *
numi_soup_client_counts(const struct numi_soup_client *client);
NUMI_API const char *numi_soup_state_name(uint32_t state);
NUMI_API const char *numi_soup_loss_name(uint32_t loss);

#endif
