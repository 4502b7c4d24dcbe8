#!/bin/sh
# Lays out the root of an image that has the given files and folders and nothing else: with the libraries that they load, and
# what Debian's packages say of whatever came from them, for scanners (var/lib/dpkg/status.d) and for their licences' sake.
#   imageRoot.sh ROOT FILE|FOLDER …
# All of it is dated SOURCE_DATE_EPOCH, so that the same packages make the same root. Runs on Debian, as root.
set -eu
root=$1
shift
files=$(mktemp)
trap 'rm -f "$files"' EXIT

# /lib/x and /usr/lib/x are the same file; packages know it by one of the names, and it is kept by the second.
canonical() {
  echo "$(cd "$(dirname "$1")" && pwd -P)/$(basename "$1")"
}

keep() {
  at=$(canonical "$1")
  [ ! -e "$root$at" ] || return 0
  mkdir -p "$root$(dirname "$at")"
  cp -RL --preserve=mode "$at" "$root$at"
  find "$at" -type f >>"$files"
  [ -d "$at" ] || echo "$at" >>"$files"
}

libraries() {
  find "$(canonical "$1")" -type f -o -type l | while read -r file; do
    ldd "$file" 2>/dev/null | grep -o '/[^ ]*' || :
  done | sort -u
}

mkdir -p "$root"
for place in "$@"; do
  keep "$place"
  for library in $(libraries "$place"); do keep "$library"; done
done

sort -u "$files" | while read -r file; do
  { dpkg -S "$file" || dpkg -S "${file#/usr}" || :; } 2>/dev/null
done | sed 's/[:,].*//' | sort -u | while read -r package; do
  mkdir -p "$root/var/lib/dpkg/status.d"
  dpkg-query --status "$package" >"$root/var/lib/dpkg/status.d/$package"
  copyright=/usr/share/doc/$package/copyright
  [ ! -e "$copyright" ] || keep "$copyright"
done

for folder in bin sbin lib lib64; do
  [ ! -L "/$folder" ] || ln -s "usr/$folder" "$root/$folder"
done
mkdir -p "$root/etc" "$root/usr/local/bin"
mkdir -m 1777 "$root/tmp"
printf '%s\n' root:x:0:0:root:/:/sbin/nologin sallyport:x:65532:65532:sallyport:/:/sbin/nologin >"$root/etc/passwd"
printf '%s\n' root:x:0: sallyport:x:65532: >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
# So that `kubectl exec … -- sallyport status` needs no path.
ln -s /app/sallyport.js "$root/usr/local/bin/sallyport"
chmod -R u-s,g-s "$root"
find "$root" -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH:-0}" {} +
