#!/bin/sh
# A client of secretd's native protocol, written from docs/protocol.md alone.
#
#   secret-client.sh [-c SOCKET] OPERATION [ARGUMENTS]
#
#   allocate                 make a secret and print its id
#   set-xml ID FILE          replace its attributes by the document in FILE
#   get-xml ID               print its document
#   set-value ID             set its value to the bytes of standard input
#   get-value ID             write the bytes of its value, and nothing else, to standard output
#   delete ID                delete it
#   list                     print the ids of all secrets
#   lookup TYPE USAGE-ID     print the id of the secret that has this usage
#   events SECONDS           wait, and print what happened meanwhile: a word and an id for each event
#
# Without SOCKET it asks the host's daemon if you are root, else your own. An error goes to standard error, its code
# first, and the exit status is 1. Needs socat, and a base64 that knows -d and -w.
#
# Values go through pipes only. They are never arguments, environment or even shell variables: ps, /proc and sh -x
# have nothing to show, and no shell can stumble over a NUL.

set -eu
LC_ALL=C
export LC_ALL

fail() {
    printf 'secret-client: %s\n' "$1" >&2
    exit 1
}

usage() {
    sed -n 's/^#   //p' "$0" >&2
    exit 1
}

default_socket() {
    [ "$(id -u)" = 0 ] && directory=/run || directory=${XDG_RUNTIME_DIR:?is not set, so say -c SOCKET}
    printf '%s' "$directory/secretd/secretd-sock"
}

# A shell has no SO_PEERCRED. The owner of the socket's file tells the same, where only root and we may write beside it.
check_owner() {
    [ -S "$1" ] || fail "no daemon listens on $1"
    [ "$(find "$1" -prune \( -user 0 -o -user "$(id -u)" \))" ] || fail "$1 is another user's"
}

# Escape a text, so that it can stand in an element or between single quotes.
escaped() {
    printf '%s' "$1" | sed "s/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g; s/'/\&apos;/g"
}

# ask WHAT COMMAND...: send the request whose operation the command prints, on a connection of its own, and print what
# answer() takes from the reply. If the command fails no NUL is sent, and the daemon does not act on half a message.
ask() {
    what=$1
    shift
    { printf "<request serial='1'>" && "$@" && printf '</request>\0'; } |
        socat -t 60 - UNIX-CONNECT:"$socket" | answer "$what" || exit 1
}

# Print one thing from the reply on standard input, or report its error and fail. A line of awk is a message here: NUL
# becomes newline, and newline becomes \1, which XML cannot contain.
answer() {
    tr '\n\0' '\1\n' | awk -v what="$1" '
        function cut(text, pattern) {
            return match(text, pattern) ? substr(text, RSTART, RLENGTH) : ""
        }
        function attribute(tag, name) { return substr(cut(tag, " " name "=\047[^\047]*"), length(name) + 4) }
        function content(element) { return substr(element, index(element, ">") + 1) }
        function report(message) {
            gsub(/&lt;/, "<", message); gsub(/&gt;/, ">", message); gsub(/&quot;/, "\"", message)
            gsub(/&apos;/, "\047", message); gsub(/&amp;/, "\\&", message)
            print "secret-client: " message | "cat >&2"
            failed = 1
        }
        !/<\/(reply|event)>$/ { exit }
        { answered = 1 }
        error = cut($0, "<error [^>]*>[^<]*") { report(attribute(error, "code") ": " content(error)); exit }
        what == "id" { print attribute($0, "secret") }
        what == "document" {
            document = cut($0, "<secret [^>]*>.*</secret>")
            gsub(/\001/, "\n", document)
            print document
        }
        what == "value" {
            print content(cut($0, "<value>[^<]*")) | "base64 -d"
            failed = close("base64 -d") != 0
        }
        what == "page" {
            print attribute($0, "next-marker")
            count = split($0, entry, /<entry/)
            for (i = 2; i <= count; i++) print attribute(entry[i], "secret")
        }
        what == "events" && sub(/^<event></, "") { print (/^lost/ ? "lost" : $1 " " attribute($0, "secret")) }
        what == "events" { next }
        { exit }
        END { if (!answered) report("no reply"); exit failed }'
}

# What follows prints the operations, as they stand inside <request>.

about() { printf "<%s secret='%s'/>" "$1" "$(escaped "$2")"; }

page() { printf '<list%s/>' "${1:+" marker='$1'"}"; }

# A NUL in the file must not end the message, nor may an XML declaration stand within it.
set_xml() {
    printf "<set-xml secret='%s'>" "$(escaped "$1")"
    tr -d '\0' <"$2" | sed '1s/^<?xml [^>]*?>//' && printf '</set-xml>'
}

set_value() {
    printf "<set-value secret='%s'><value>" "$(escaped "$1")"
    base64 -w 0 && printf '</value></set-value>'
}

lookup() {
    case $1 in volume) name=volume ;; iscsi) name=target ;; *) name=name ;; esac
    printf "<lookup-by-usage><usage type='%s'><$name>%s</$name></usage></lookup-by-usage>" \
        "$(escaped "$1")" "$(escaped "$2")"
}

# A subscription lasts as long as the sending side is open.
events() {
    { printf "<request serial='1'><subscribe/></request>\0" && sleep "$1"; } |
        socat -t 1 - UNIX-CONNECT:"$socket" | answer events
}

list() {
    answered=$(ask page page "${1-}")
    printf '%s\n' "$answered" | sed 1d
    marker=$(printf '%s\n' "$answered" | sed 1q)
    [ -z "$marker" ] || list "$marker"
}

[ $# -gt 0 ] || usage
if [ "$1" = -c ]; then
    [ $# -gt 2 ] || usage
    socket=$2
    shift 2
else
    socket=$(default_socket)
fi
check_owner "$socket"

case $#:$1 in
1:allocate) ask id printf '<allocate-id/>' ;;
3:set-xml) [ -r "$3" ] || fail "cannot read $3"; ask nothing set_xml "$2" "$3" ;;
2:get-xml) ask document about get-xml "$2" ;;
2:set-value) ask nothing set_value "$2" ;;
2:get-value) ask value about get-value "$2" ;;
2:delete) ask nothing about delete "$2" ;;
1:list) list ;;
2:events) events "$2" ;;
3:lookup) ask id lookup "$2" "$3" ;;
*) usage ;;
esac
